/* Counting by client, and listening sockets of both kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/http/clients.h"
#include "server/http/listen.h"

static struct sm_clients clients;

static struct sm_peer peer_of(const char *text)
{
    struct sm_peer peer;
    sm_peer_parse(&peer, text);
    return peer;
}

static void each_client_has_its_own(void **state)
{
    (void)state;
    struct sm_peer a = peer_of("192.0.2.1"), b = peer_of("192.0.2.2"), nobody = peer_of("?");
    sm_clients_init(&clients);
    assert_true(sm_clients_take(&clients, &a, SM_CLIENT_STREAM, 2));
    assert_true(sm_clients_take(&clients, &a, SM_CLIENT_STREAM, 2));
    assert_false(sm_clients_take(&clients, &a, SM_CLIENT_STREAM, 2));
    assert_true(sm_clients_take(&clients, &a, SM_CLIENT_REQUEST, 1));
    assert_true(sm_clients_take(&clients, &b, SM_CLIENT_STREAM, 1));
    assert_false(sm_clients_take(&clients, &b, SM_CLIENT_CONNECTION, 0));
    assert_int_equal(sm_clients_count(&clients, &a, SM_CLIENT_STREAM), 2);
    assert_int_equal(sm_clients_count(&clients, &b, SM_CLIENT_REQUEST), 0);
    for (int i = 0; i < 3; i++)
        assert_true(sm_clients_take(&clients, &nobody, SM_CLIENT_STREAM, 1));
    sm_clients_give(&clients, &nobody, SM_CLIENT_STREAM);
    sm_clients_give(&clients, &a, SM_CLIENT_STREAM);
    assert_true(sm_clients_take(&clients, &a, SM_CLIENT_STREAM, 2));
    sm_clients_give(&clients, &a, SM_CLIENT_STREAM);
    sm_clients_give(&clients, &a, SM_CLIENT_STREAM);
    sm_clients_give(&clients, &a, SM_CLIENT_REQUEST);
    sm_clients_give(&clients, &b, SM_CLIENT_STREAM);
    sm_clients_release(&clients); /* asserts that nothing is left */
}

#define MANY 5000 /* several to a bucket */

static void *take_and_give(void *arg)
{
    for (int i = 0; i < MANY; i++) {
        struct sm_peer peer = {.known = true, .address = {[10] = 0xff, [11] = 0xff}};
        peer.address[14] = (uint8_t)(i >> 8);
        peer.address[15] = (uint8_t)i;
        assert_true(sm_clients_take(&clients, &peer, SM_CLIENT_REQUEST, 2));
    }
    for (int i = MANY; i-- > 0;) {
        struct sm_peer peer = {.known = true, .address = {[10] = 0xff, [11] = 0xff}};
        peer.address[14] = (uint8_t)(i >> 8);
        peer.address[15] = (uint8_t)i;
        sm_clients_give(&clients, &peer, SM_CLIENT_REQUEST);
    }
    return arg;
}

static void many_clients_of_two_threads(void **state)
{
    (void)state;
    pthread_t other;
    sm_clients_init(&clients);
    assert_int_equal(pthread_create(&other, NULL, take_and_give, NULL), 0);
    take_and_give(NULL);
    pthread_join(other, NULL);
    sm_clients_release(&clients);
}

/* --- unix sockets --- */

static char folder[] = "/tmp/sslmem-listen-XXXXXX";
static char path[64], address[80];
static struct sm_listener listener;
static struct sm_err err;

static void end(void)
{
    sm_listener_end(&listener);
    close(listener.fd);
}

static void a_unix_socket_is_its_owners(void **state)
{
    (void)state;
    struct stat about;
    mode_t mask = umask(0);
    assert_int_equal(sm_listen(&listener, address, &err), SM_OK);
    umask(mask);
    assert_int_equal(lstat(path, &about), 0);
    assert_true(S_ISSOCK(about.st_mode));
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_string_equal(listener.address, address);
    end();
    assert_int_equal(lstat(path, &about), -1);
    assert_int_equal(errno, ENOENT);
}

static void a_stale_socket_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(sm_listen(&listener, address, &err), SM_OK);
    close(listener.fd); /* as a kill does */
    struct sm_listener killed = listener;
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(sm_listen(&listener, address, &err), SM_OK);
    if (killed.inode != listener.inode) {
        sm_listener_end(&killed); /* no longer its own */
        assert_int_equal(access(path, F_OK), 0);
    }
    end();
    assert_int_equal(access(path, F_OK), -1);
}

static void what_is_not_ours_stays(void **state)
{
    (void)state;
    struct sm_listener other;
    char expected[160];
    assert_int_equal(sm_listen(&listener, address, &err), SM_OK);
    assert_int_equal(sm_listen(&other, address, &err), SM_CONFLICT);
    snprintf(expected, sizeof expected, "somebody listens on %s", path);
    assert_string_equal(err.text, expected);
    assert_int_equal(access(path, F_OK), 0);
    end();
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(sm_listen(&other, address, &err), SM_CONFLICT);
    snprintf(expected, sizeof expected, "%s is there and is no socket", path);
    assert_string_equal(err.text, expected);
    assert_int_equal(unlink(path), 0);
}

static void other_paths_are_refused(void **state)
{
    (void)state;
    char missing[160], longest[140] = "unix:/";
    assert_int_equal(sm_listen(&listener, "unix:admin", &err), SM_INVALID);
    assert_string_equal(err.text,
                        "listen address 'unix:admin' is not unix: and an absolute path of "
                        "at most 107 bytes");
    memset(longest + 6, 'x', 107);
    assert_int_equal(sm_listen(&listener, longest, &err), SM_INVALID);
    snprintf(missing, sizeof missing, "unix:%s/none/admin", folder);
    assert_int_equal(sm_listen(&listener, missing, &err), SM_IO);
    assert_int_equal(listener.fd, -1);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/admin", folder);
    snprintf(address, sizeof address, "unix:%s", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_client_has_its_own),
        cmocka_unit_test(many_clients_of_two_threads),
        cmocka_unit_test(a_unix_socket_is_its_owners),
        cmocka_unit_test(a_stale_socket_is_replaced),
        cmocka_unit_test(what_is_not_ours_stays),
        cmocka_unit_test(other_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
