/* `sslmem serve`: everything put together, and taken apart in the opposite order.
 *
 * Start: configuration, decoders, pairs, store, workers, socket. Stop, on SIGINT or SIGTERM: no new
 * connections, waiting clients get their 202, running requests end (sm_http_stop); workers finish
 * their item, the rest stays queued (sm_jobs_stop); the store drains its writer. A second signal
 * ends the process at once: the store is made for that. */
#include <assert.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "server/api/api.h"
#include "server/base/digest_key.h"
#include "server/base/id.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/cmd/cmd.h"
#include "server/decode/decode.h"
#include "server/http/http.h"
#include "server/http/listen.h"
#include "server/store/audits.h"
#include "server/store/keys.h"
#include "sslmem/version.h"

#define ROUTES_MAX            64
#define ADMIN_CONNECTIONS_MAX 16

/* For the tests that compare the tables with openapi.yaml. */
static int print_problems(void)
{
#define ROW(NAME, status, code, title) printf("%d\t%s\t%s\n", status, code, title);
    SM_PROBLEMS(ROW)
#undef ROW
    return SM_EXIT_OK;
}

/* For the table in deploy/METRICS.md. */
static int print_metrics(void)
{
    sm_metrics_describe(stdout);
    return SM_EXIT_OK;
}

static int print_routes(void)
{
    for (const struct sm_route *r = sm_api_routes; r->method != NULL; r++)
        printf("%s\t%s\t%s\t%s\t%s\t%s\n", r->method, r->path, r->operation,
               r->accepts == NULL ? "" : r->accepts, r->query == NULL ? "" : r->query,
               r->scope == NULL ? "" : r->scope);
    return SM_EXIT_OK;
}

static sem_t stop_requested;

static void on_signal(int number)
{
    (void)number;
    sem_post(&stop_requested);
}

static void handle_signals(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* A handler and not sigwait: that needs the signals blocked in every thread, and BLAS starts
 * threads of its own before main runs. */
static void await_stop(void)
{
    while (sem_wait(&stop_requested) != 0)
        continue;
    handle_signals(SIG_DFL);
    sm_log("info", "stopping", "{}");
}

/* The closed sets of labels that only the floors below this one know. */
static enum sm_code start_metrics(struct sm_err *err)
{
    static const char *routes[ROUTES_MAX];
#define ROW(NAME, status, code, title) code,
    static const char *const problems[] = {SM_PROBLEMS(ROW) NULL};
#undef ROW

    for (int i = 0; sm_api_routes[i].method != NULL; i++) {
        assert(i < ROUTES_MAX - 1);
        routes[i] = sm_api_routes[i].path;
    }
    return sm_metrics_start(&(struct sm_metrics_sets){routes, problems}, err);
}

/* For those who scrape: one thread, few connections. */
static enum sm_code start_admin(struct sm_http **out, struct sm_api *api, struct sm_err *err)
{
    const struct sm_config *config = api->config;
    struct sm_http_params params = {.listen = config->admin_listen,
                                    .routes = sm_api_admin_routes,
                                    .context = api,
                                    .threads = 1,
                                    .connections_max = ADMIN_CONNECTIONS_MAX,
                                    .idle_timeout_s = (int)config->idle_timeout_s};

    if (strcmp(config->admin_listen, "off") == 0)
        return SM_OK;
    return sm_http_start(out, &params, err);
}

/* One decoder a worker, or none when the configuration says so. Before anything else: they are
 * small, and nothing that is ours is open yet. */
static enum sm_code start_decoders(struct sm_decoders **out, const struct sm_config *config,
                                   struct sm_err *err)
{
    *out = NULL;
    if (strcmp(config->sandbox, "off") == 0) {
        sm_log("warning", "sandbox_off", "{}");
        return SM_OK;
    }
    struct sm_decoders_params params = {.count = sm_config_workers(config)};
    enum sm_code code = sm_decoders_start(out, &params, err);
    if (code != SM_OK) {
        const struct sm_err why = *err;
        return sm_err_set(err, code, "%s (--sandbox off would do without)", why.text);
    }
    sm_log("info", "sandbox", "{s:i, s:b, s:i}", "decoders", params.count, "seccomp", 1,
           "landlock_abi", sm_decoders_landlock(*out));
    return SM_OK;
}

/* Without any key everybody is served, which is for those on this machine at most. */
static enum sm_code check_keys(struct sm_store *store, const struct sm_config *config,
                               struct sm_err *err)
{
    bool has_keys, local;
    enum sm_code code = sm_store_has_keys(&has_keys, store, err);

    if (code != SM_OK || has_keys)
        return code;
    if ((code = sm_listen_is_local(&local, config->listen, err)) != SM_OK)
        return code;
    if (!local)
        return sm_err_set(err, SM_CONFLICT,
                          "listen is %.60s, which others can reach, and database %.60s has no key: "
                          "make one with sslmem key create, or listen on 127.0.0.1",
                          config->listen, config->db);
    sm_log("warning", "no_keys", "{s:s}", "detail",
           "there is no key: whoever reaches this address may do everything");
    return SM_OK;
}

static enum sm_code open_store(struct sm_store **out, const struct sm_config *config,
                               struct sm_err *err)
{
    uint8_t key[32];
    enum sm_code code = sm_store_open(out, config->db, err);

    if (code == SM_OK)
        code = check_keys(*out, config, err);
    if (code != SM_OK || config->digest_key[0] == '\0')
        return code;
    code = sm_digest_key_read(key, config->digest_key, err);
    if (code == SM_OK)
        sm_store_set_digest_key(*out, key);
    return code;
}

static enum sm_code serve(const struct sm_config *config, struct sm_err *err)
{
    struct sm_api api = {.config = config, .started_ms = sm_clock_unix_ms()};
    struct sm_decoders *decoders = NULL;
    struct sm_pairs *pairs = NULL;
    struct sm_http *http = NULL, *admin = NULL;

    enum sm_code code = SM_OK;
    if (!sm_kernels_find(config->kernels)) {
        code = sm_err_set(err, SM_UNSUPPORTED, "kernels %s: this processor has none of them",
                          config->kernels);
        goto out;
    }
    if ((code = start_metrics(err)) != SM_OK)
        goto out;
    if ((code = start_decoders(&decoders, config, err)) != SM_OK)
        goto out;
    code = sm_pairs_load(&pairs, config->pairs, config->kernels, err);
    if (code != SM_OK)
        goto out;
    api.pairs = pairs;
    if ((code = open_store(&api.store, config, err)) != SM_OK)
        goto out;
    struct sm_jobs_params jobs = {.store = api.store,
                                  .pairs = pairs,
                                  .decoders = decoders,
                                  .workers = sm_config_workers(config),
                                  .queue_max = config->queue_max};
    if ((code = sm_jobs_start(&api.jobs, &jobs, err)) != SM_OK)
        goto out;
    if ((code = sm_api_start(&api, err)) != SM_OK)
        goto out;
    struct sm_http_params params = {.listen = config->listen,
                                    .routes = sm_api_routes,
                                    .context = &api,
                                    .authorize = sm_api_authorize,
                                    .answered = sm_api_answered,
                                    .threads = (int)config->http_threads,
                                    .connections_max = (int)config->connections_max,
                                    .idle_timeout_s = (int)config->idle_timeout_s,
                                    .body_bytes_max = config->body_bytes_max,
                                    .spool_bytes_max = config->archive_bytes_max,
                                    .spool = api.spool};
    if ((code = sm_http_start(&http, &params, err)) != SM_OK)
        goto out;
    if ((code = start_admin(&admin, &api, err)) != SM_OK)
        goto out;
    sm_log("info", "listening", "{s:s, s:s, s:s, s:s, s:s, s:i}", "address", sm_http_address(http),
           "version", SM_VERSION, "microhttpd", sm_http_version(), "blas", sm_blas_version(),
           "kernels", sm_kernels_find(config->kernels), "workers", jobs.workers);
    printf("listening on http://%s\n", sm_http_address(http));
    if (admin != NULL)
        printf("admin listening on http://%s\n", sm_http_address(admin));
    fflush(stdout);
    await_stop();

out:
    sm_http_stop(http);
    sm_http_stop(admin); /* after the other: who scrapes sees the drain */
    sm_api_stop(&api);
    if (api.jobs != NULL)
        sm_jobs_stop(api.jobs);
    if (api.store != NULL)
        sm_store_close(api.store);
    sm_decoders_stop(decoders);
    sm_pairs_free(pairs);
    sm_metrics_stop();
    return code;
}

static int print_help(void)
{
    puts("usage: sslmem serve [options]\n\n"
         "Loads every pair below the pairs folder and serves scores over HTTP until SIGINT or\n"
         "SIGTERM. A flag goes before its environment variable, that before the file.\n\n"
         "options:");
    sm_config_help(stdout);
    puts("\nexit codes: 0 stopped, 1 something failed, 2 wrong usage");
    return SM_EXIT_OK;
}

static int print_config(const struct sm_config *config)
{
    json_t *document = sm_config_json(config);
    bool printed = document != NULL && json_dumpf(document, stdout, JSON_INDENT(4)) == 0;

    json_decref(document);
    puts("");
    if (!printed)
        fputs("sslmem serve: the configuration cannot be printed as JSON\n", stderr);
    return printed ? SM_EXIT_OK : SM_EXIT_FAILED;
}

static enum sm_code run(const struct sm_config *config, struct sm_err *err)
{
    sem_init(&stop_requested, 0, 0);
    handle_signals(on_signal);
    return serve(config, err);
}

int sm_cmd_serve(int argc, char **argv)
{
    struct sm_config config;
    struct sm_err err = {0};
    enum sm_settings_action action;

    if (argc == 2 && strcmp(argv[1], "--routes") == 0)
        return print_routes();
    if (argc == 2 && strcmp(argv[1], "--problems") == 0)
        return print_problems();
    if (argc == 2 && strcmp(argv[1], "--metrics-table") == 0)
        return print_metrics();
    enum sm_code code = sm_config_read(&config, &action, argc - 1, argv + 1, &err);
    if (code == SM_OK && action == SM_SETTINGS_HELP)
        return print_help();
    if (code == SM_OK && action == SM_SETTINGS_PRINT)
        return print_config(&config);
    if (code == SM_OK && action == SM_SETTINGS_CHECK)
        puts("the configuration is good");
    else if (code == SM_OK)
        code = run(&config, &err);
    if (code == SM_OK)
        return SM_EXIT_OK;
    sm_fail("serve", &err);
    return code == SM_INVALID ? SM_EXIT_USAGE : SM_EXIT_FAILED;
}
