/* The library's version, which the provenance of every score states. */
#ifndef SSLMEM_VERSION_H
#define SSLMEM_VERSION_H

#define SM_VERSION "0.1.0"

#endif
