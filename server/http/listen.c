/* The service opens the listening socket itself, because libmicrohttpd does not tell why a bind
 * failed, and some of its versions do not tell which port they bound. */
#include "server/http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_TYPE (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define UNIX_PREFIX "unix:"

/* Splits "[host]:port" or "host:port" at the last colon. Returns false for other text. */
static bool split(char host[SM_ADDRESS_BYTES], char port[8], const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || strlen(colon + 1) == 0 || strlen(colon + 1) > 5)
        return false;
    size_t n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && colon[-1] == ']')
        text++, n -= 2;
    else if (memchr(text, ':', n))
        return false; /* an IPv6 address without brackets: the start of the port is ambiguous */
    if (n == 0 || n >= SM_ADDRESS_BYTES)
        return false;
    snprintf(host, SM_ADDRESS_BYTES, "%.*s", (int)n, text);
    snprintf(port, 8, "%s", colon + 1);
    return true;
}

static enum sm_code name_of(char address[SM_ADDRESS_BYTES], int fd, struct sm_err *err)
{
    struct sockaddr_storage bound;
    socklen_t bound_bytes = sizeof bound;
    char host[48], port[8];
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_bytes) != 0)
        return sm_err_set(err, SM_IO, "getsockname: %s", strerror(errno));
    int rc = getnameinfo((struct sockaddr *)&bound, bound_bytes, host, sizeof host, port,
                         sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    if (rc != 0)
        return sm_err_set(err, SM_IO, "getnameinfo: %s", gai_strerror(rc));
    bool v6 = bound.ss_family == AF_INET6;
    snprintf(address, SM_ADDRESS_BYTES, v6 ? "[%s]:%s" : "%s:%s", host, port);
    return SM_OK;
}

/* Converts text to an address, which the caller frees with freeaddrinfo. */
static enum sm_code find_address(struct addrinfo **out, const char *text, struct sm_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    char host[SM_ADDRESS_BYTES], port[8];
    *out = NULL;
    if (!split(host, port, text) || getaddrinfo(host, port, &hints, out) != 0)
        return sm_err_set(err, SM_INVALID,
                          "listen address '%s' is not like 127.0.0.1:8080 or [::1]:8080", text);
    return SM_OK;
}

enum sm_code sm_listen_is_local(bool *out, const char *text, struct sm_err *err)
{
    struct addrinfo *info;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    enum sm_code code = find_address(&info, text, err);
    *out = false;
    if (code != SM_OK)
        return code;
    if (info->ai_family == AF_INET) {
        memcpy(&v4, info->ai_addr, sizeof v4);
        *out = ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    } else if (info->ai_family == AF_INET6) {
        memcpy(&v6, info->ai_addr, sizeof v6);
        *out = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    freeaddrinfo(info);
    return SM_OK;
}

static enum sm_code listen_tcp(struct sm_listener *listener, const char *text, struct sm_err *err)
{
    struct addrinfo *info;
    const int on = 1;
    enum sm_code code = find_address(&info, text, err);
    if (code != SM_OK)
        return code;
    int fd = listener->fd = socket(info->ai_family, SOCKET_TYPE, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0)
        code = sm_err_set(err, SM_IO, "cannot listen on %s: %s", text, strerror(errno));
    if (code == SM_OK)
        code = name_of(listener->address, fd, err);
    freeaddrinfo(info);
    return code;
}

/* Removes the file at the path if it is a socket on which nobody listens; any other file is a
 * conflict. */
static enum sm_code remove_stale(const struct sockaddr_un *at, struct sm_err *err)
{
    struct stat about;
    if (lstat(at->sun_path, &about) != 0)
        return errno == ENOENT ? SM_OK
                               : sm_err_set(err, SM_IO, "%s: %s", at->sun_path, strerror(errno));
    if (!S_ISSOCK(about.st_mode))
        return sm_err_set(err, SM_CONFLICT, "%s is there and is no socket", at->sun_path);
    int fd = socket(AF_UNIX, SOCKET_TYPE, 0);
    int why = fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    if (why != ECONNREFUSED)
        return sm_err_set(err, SM_CONFLICT, "somebody listens on %s", at->sun_path);
    if (unlink(at->sun_path) != 0)
        return sm_err_set(err, SM_IO, "%s: %s", at->sun_path, strerror(errno));
    return SM_OK;
}

static enum sm_code listen_unix(struct sm_listener *listener, const char *text, struct sm_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat about;
    const char *path = text + strlen(UNIX_PREFIX);
    if (path[0] != '/' || strlen(path) >= sizeof at.sun_path)
        return sm_err_set(err, SM_INVALID,
                          "listen address '%s' is not unix: and an absolute path of at most %zu "
                          "bytes",
                          text, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, strlen(path) + 1);
    enum sm_code code = remove_stale(&at, err);
    if (code != SM_OK)
        return code;
    int fd = listener->fd = socket(AF_UNIX, SOCKET_TYPE, 0);
    /* The mode is set before bind creates the file, so the file never has another, whatever the
     * umask. */
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 || lstat(path, &about) != 0)
        return sm_err_set(err, SM_IO, "cannot listen on %s: %s", text, strerror(errno));
    listener->is_unix = true;
    listener->device = about.st_dev;
    listener->inode = about.st_ino;
    snprintf(listener->address, sizeof listener->address, "%s", text);
    if ((about.st_mode & 0177) != 0)
        return sm_err_set(err, SM_IO, "%s has mode %o, must be 600", path,
                          (unsigned)about.st_mode & 0777);
    if (listen(fd, SOMAXCONN) != 0)
        return sm_err_set(err, SM_IO, "cannot listen on %s: %s", text, strerror(errno));
    return SM_OK;
}

enum sm_code sm_listen(struct sm_listener *listener, const char *text, struct sm_err *err)
{
    bool is_unix = strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
    *listener = (struct sm_listener){.fd = -1};
    enum sm_code code =
        is_unix ? listen_unix(listener, text, err) : listen_tcp(listener, text, err);
    if (code != SM_OK) {
        sm_listener_end(listener);
        if (listener->fd >= 0)
            close(listener->fd);
        listener->fd = -1;
    }
    return code;
}

enum sm_code sm_listen_try(const char *text, struct sm_err *err)
{
    struct sm_listener listener;
    enum sm_code code = sm_listen(&listener, text, err);
    if (code != SM_OK)
        return code;
    sm_listener_end(&listener);
    close(listener.fd);
    return SM_OK;
}

void sm_listener_end(const struct sm_listener *listener)
{
    const char *path = listener->address + strlen(UNIX_PREFIX);
    struct stat about;
    if (listener->is_unix && lstat(path, &about) == 0 && about.st_dev == listener->device &&
        about.st_ino == listener->inode)
        unlink(path);
}
