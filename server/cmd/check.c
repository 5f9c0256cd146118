/* Checks databases and configurations before a command or the service uses them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "server/base/digest_key.h"
#include "server/cmd/cmd.h"
#include "server/http/listen.h"
#include "server/http/tls.h"

#define UNIX_PREFIX "unix:"

static enum sm_code failed(struct sm_err *err, const char *what, const char *path)
{
    return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO, "%s%.160s: %s", what, path,
                      strerror(errno));
}

/* --- databases --- */

/* Checks that an open file is a regular file and begins with SQLite's header. */
static enum sm_code check_header(int fd, const char *path, struct sm_err *err)
{
    static const char magic[16] = "SQLite format 3";
    char head[sizeof magic];
    struct stat about;
    if (fstat(fd, &about) != 0)
        return failed(err, "database ", path);
    if (!S_ISREG(about.st_mode))
        return sm_err_set(err, SM_IO, "database %.160s is not a file", path);
    ssize_t n = sm_file_read(fd, head, sizeof head);
    if (n < 0)
        return failed(err, "database ", path);
    if (n == 0)
        return sm_err_set(err, SM_NOT_FOUND, "database %.160s is an empty file", path);
    if (n < (ssize_t)sizeof head || memcmp(head, magic, sizeof head) != 0)
        return sm_err_set(err, SM_CORRUPT, "%.160s is no SQLite database", path);
    return SM_OK;
}

enum sm_code sm_check_database(const char *path, struct sm_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return failed(err, "database ", path);
    enum sm_code code = check_header(fd, path, err);
    close(fd);
    return code;
}

/* --- a configuration --- */

/* Writes the folder that contains `path`; "." if the path has no slash. */
static void parent_of(char out[1024], const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(out, 1024, "%.*s", !slash ? 1 : (int)(slash - path) + (slash == path),
             !slash ? "." : path);
}

static enum sm_code check_folder(const char *what, const char *path, int mode, struct sm_err *err)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return failed(err, what, path);
    if (!S_ISDIR(about.st_mode))
        return sm_err_set(err, SM_INVALID, "%s%.160s is not a folder", what, path);
    return access(path, mode) == 0 ? SM_OK : failed(err, what, path);
}

static enum sm_code check_kernels(const struct sm_config *config, struct sm_err *err)
{
    if (sm_kernels_find(config->kernels))
        return SM_OK;
    return sm_err_set(err, SM_UNSUPPORTED, "kernels: %s: this processor has none of them",
                      config->kernels);
}

enum sm_code sm_check_pairs(const struct sm_config *config, struct sm_err *err)
{
    char path[PATH_MAX];
    struct stat about;
    if (stat(config->pairs, &about) != 0)
        return sm_err_set(err, errno == ENOENT ? SM_NOT_FOUND : SM_IO,
                          "--pairs %.120s: %s: name the folder that holds the folders of pairs",
                          config->pairs, strerror(errno));
    enum sm_code code = check_folder("--pairs ", config->pairs, R_OK | X_OK, err);
    snprintf(path, sizeof path, "%s/pair.json", config->pairs);
    if (code == SM_OK && access(path, F_OK) == 0)
        code = sm_err_set(err, SM_INVALID,
                          "--pairs %.120s is a pair itself, it holds pair.json: give the folder "
                          "above it",
                          config->pairs);
    return code;
}

static enum sm_code check_data_root(const struct sm_config *config, struct sm_err *err)
{
    return config->data_root[0] == '\0'
               ? SM_OK
               : check_folder("data-root: ", config->data_root, R_OK | X_OK, err);
}

static enum sm_code check_digest_key(const struct sm_config *config, struct sm_err *err)
{
    uint8_t key[32];
    enum sm_code code =
        config->digest_key[0] == '\0' ? SM_OK : sm_digest_key_read(key, config->digest_key, err);
    explicit_bzero(key, sizeof key);
    return code;
}

static enum sm_code check_certificate(const struct sm_config *config, struct sm_err *err)
{
    return config->tls_cert[0] == '\0' ? SM_OK
                                       : sm_tls_check(config->tls_cert, config->tls_key, err);
}

/* The database may be missing. Its folder must be writable: it also holds the write-ahead log, the
 * lock file and spooled bodies. */
static enum sm_code check_db(const struct sm_config *config, struct sm_err *err)
{
    char folder[1024];
    parent_of(folder, config->db);
    enum sm_code code = check_folder("db: ", folder, W_OK | X_OK, err);
    if (code != SM_OK || access(config->db, F_OK) != 0)
        return code;
    code = sm_check_database(config->db, err);
    if (code == SM_OK && access(config->db, R_OK | W_OK) != 0)
        code = failed(err, "database ", config->db);
    return code;
}

static enum sm_code check_listen(const struct sm_config *config, struct sm_err *err)
{
    bool local;
    return sm_listen_is_local(&local, config->listen, err);
}

static enum sm_code check_admin(const struct sm_config *config, struct sm_err *err)
{
    const char *path = config->admin_listen + strlen(UNIX_PREFIX);
    char folder[1024];
    struct stat about;
    if (strncmp(config->admin_listen, UNIX_PREFIX, strlen(UNIX_PREFIX)) != 0)
        return SM_OK;
    if (lstat(path, &about) == 0 && !S_ISSOCK(about.st_mode))
        return sm_err_set(err, SM_CONFLICT, "admin-listen: %.160s is there and is no socket", path);
    parent_of(folder, path);
    return check_folder("admin-listen: ", folder, W_OK | X_OK, err);
}

int sm_check_config(const struct sm_config *config)
{
    static enum sm_code (*const checks[])(const struct sm_config *config, struct sm_err *err) = {
        check_kernels, sm_check_pairs,  check_db,         check_listen,
        check_admin,   check_data_root, check_digest_key, check_certificate};
    int result = SM_EXIT_OK;

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        struct sm_err err = {0};
        if (checks[i](config, &err) != SM_OK)
            result = sm_fail("serve", &err);
    }
    if (result == SM_EXIT_OK)
        puts("the configuration is good");
    return result;
}
