/* The library's version, in the provenance of every score. */
#ifndef SSLMEM_VERSION_H
#define SSLMEM_VERSION_H

#define SM_VERSION "0.1.0"

#endif
