/* `sslmem serve`: starts the parts of the service, and stops them in the opposite order.
 *
 * Start: configuration, decoders, store, pairs, workers, listeners. Stop, on SIGINT or SIGTERM:
 *
 *     /readyz fails; after SIGTERM the service runs on for drain_delay_ms      begin_drain
 *     no new requests; waiting clients get their 202, running requests end     sm_http_stop
 *     workers finish their items, or requeue them before the limit             sm_jobs_stop_by
 *     the store commits its pending writes                                     sm_store_close
 *
 * The stop takes at most drain_limit_ms (drain.h). A second signal ends the process at once, which
 * the store survives as it survives a crash. SIGHUP: see reload.h. */
#include <assert.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/json.h"
#include "server/api/api.h"
#include "server/api/idempotency.h"
#include "server/base/clock.h"
#include "server/base/digest_key.h"
#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/base/pulse.h"
#include "server/cmd/cmd.h"
#include "server/cmd/drain.h"
#include "server/cmd/reload.h"
#include "server/decode/decode.h"
#include "server/http/listen.h"
#include "server/store/api_keys.h"
#include "server/store/audits.h"
#include "sslmem/version.h"

#define ROUTES_MAX            64
#define ADMIN_CONNECTIONS_MAX 16

/* Prints the table of problems; a test compares it with openapi.yaml. */
static int print_problems(void)
{
#define ROW(NAME, status, code, title) printf("%d\t%s\t%s\n", status, code, title);
    SM_PROBLEMS(ROW)
#undef ROW
    return SM_EXIT_OK;
}

/* Prints the metrics for the table in deploy/METRICS.md. */
static int print_metrics(void)
{
    sm_metrics_describe(stdout);
    return SM_EXIT_OK;
}

static int print_routes(void)
{
    for (const struct sm_route *r = sm_api_routes; r->method; r++)
        printf("%s\t%s\t%s\t%s\t%s\t%s\n", r->method, r->path, r->operation,
               !r->accepts ? "" : r->accepts, !r->query ? "" : r->query,
               sm_route_is_public(r) ? "" : r->scope);
    return SM_EXIT_OK;
}

static sem_t signalled;
static atomic_bool reload_requested;
static atomic_int stop_signal; /* 0: none yet */

static void on_stop(int number)
{
    stop_signal = number;
    sem_post(&signalled);
}

static void on_reload(int number)
{
    (void)number;
    reload_requested = true;
    sem_post(&signalled);
}

static void handle_signals(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = on_reload;
    sigaction(SIGHUP, &action, NULL);
}

/* Waits for SIGINT or SIGTERM and reloads at each SIGHUP. Signal handlers post a semaphore; sigwait
 * would need the signals blocked in every thread, and BLAS may start threads before main runs. */
static void await_stop(const struct sm_reload *reload)
{
    while (stop_signal == 0) {
        while (sem_wait(&signalled) != 0)
            continue;
        if (atomic_exchange(&reload_requested, false) && stop_signal == 0)
            sm_reload(reload);
    }
    handle_signals(SIG_DFL);
    sm_log("info", "stopping", "{}");
}

/* Makes /readyz fail and waits for the delay. Requests are served meanwhile, because a load
 * balancer needs time to notice that it should send no more. */
static void begin_drain(struct sm_drain *drain, struct sm_api *api)
{
    const struct sm_config *config = api->config;
    int64_t delay_ms = stop_signal == SIGTERM ? config->drain_delay_ms : 0;
    sm_drain_begin(drain, config->drain_limit_ms);
    atomic_store(&api->draining, true);
    sm_log("info", "draining", "{s:I, s:I}", "delay_ms", (json_int_t)delay_ms, "limit_ms",
           (json_int_t)config->drain_limit_ms);
    nanosleep(&(struct timespec){delay_ms / 1000, delay_ms % 1000 * 1000000}, NULL);
}

/* Starts the metrics with the sets of label values that server/base cannot know: the paths of
 * routes and the codes of problems. */
static enum sm_code start_metrics(struct sm_err *err)
{
    static const char *routes[ROUTES_MAX];
#define ROW(NAME, status, code, title) code,
    static const char *const problems[] = {SM_PROBLEMS(ROW) NULL};
#undef ROW

    for (int i = 0; sm_api_routes[i].method; i++) {
        assert(i < ROUTES_MAX - 1);
        routes[i] = sm_api_routes[i].path;
    }
    return sm_metrics_start(&(struct sm_metrics_sets){routes, problems}, err);
}

/* Starts the listener for metrics scrapers and probes: one thread, few connections. */
static enum sm_code start_admin(struct sm_http **out, struct sm_api *api, struct sm_err *err)
{
    const struct sm_config *config = api->config;
    struct sm_http_params params = {.listen = config->admin_listen,
                                    .routes = sm_api_admin_routes,
                                    .context = api,
                                    .threads = 1,
                                    .connections_max = ADMIN_CONNECTIONS_MAX,
                                    .idle_timeout_s = (int)config->idle_timeout_s,
                                    .limits = sm_http_limits_of(config)};
    if (strcmp(config->admin_listen, "off") == 0)
        return SM_OK;
    return sm_http_start(out, &params, err);
}

static enum sm_code start_public(struct sm_http **out, struct sm_api *api, struct sm_tls *tls,
                                 struct sm_err *err)
{
    const struct sm_config *config = api->config;
    struct sm_http_params params = {.listen = config->listen,
                                    .routes = sm_api_routes,
                                    .idempotency = &sm_api_idempotency_hooks,
                                    .authorize = sm_api_authorize,
                                    .answered = sm_api_log_access,
                                    .context = api,
                                    .threads = (int)config->http_threads,
                                    .connections_max = (int)config->connections_max,
                                    .idle_timeout_s = (int)config->idle_timeout_s,
                                    .spool = api->spool,
                                    .disk_reserve_bytes = config->disk_reserve_bytes,
                                    .limits = sm_http_limits_of(config),
                                    .tls = tls,
                                    .trusted_proxies = &config->trusted_proxies,
                                    .cors_origins = &config->cors_origins};
    return sm_http_start(out, &params, err);
}

/* Prints the bound addresses to standard output, so that the parent process can read them. */
static void print_addresses(const struct sm_http *http, const struct sm_http *admin, bool tls)
{
    printf("listening on %s://%s\n", tls ? "https" : "http", sm_http_address(http));
    if (admin)
        printf("admin listening on %s%s\n",
               strncmp(sm_http_address(admin), "unix:", 5) == 0 ? "" : "http://",
               sm_http_address(admin));
    fflush(stdout);
}

/* Starts one decoder process for each worker, or none with `sandbox` off. Called before the pairs
 * and the database are opened, so that decoders are small and inherit no open file. */
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

/* Without API keys everybody is served, so `listen` must then be an address that only this machine
 * can reach. */
static enum sm_code check_keys(struct sm_store *store, const struct sm_config *config,
                               struct sm_err *err)
{
    bool has_keys, local;
    enum sm_code code = sm_store_has_api_keys(&has_keys, store, err);
    if (code != SM_OK || has_keys)
        return code;
    if ((code = sm_listen_is_local(&local, config->listen, err)) != SM_OK)
        return code;
    if (!local)
        return sm_err_set(err, SM_CONFLICT,
                          "listen is %.60s, which others can reach, and there is no key: make one "
                          "with sslmem key create --db %.100s, or listen on 127.0.0.1",
                          config->listen, config->db);
    sm_log("warning", "no_keys", "{s:s}", "detail",
           "there is no key: whoever reaches this address may do everything");
    return SM_OK;
}

/* Opens the store and sets it up; called before other threads use it. */
static enum sm_code open_store(struct sm_store **out, const struct sm_config *config,
                               struct sm_err *err)
{
    uint8_t key[32];
    enum sm_code code = sm_store_open(out, config->db, err);
    if (code == SM_OK)
        code = sm_store_limit(*out, config->database_bytes_max, config->disk_reserve_bytes, err);
    if (code != SM_OK)
        return code;
    if ((code = check_keys(*out, config, err)) != SM_OK)
        return code;
    sm_store_idempotency_set(*out, config->idempotency_keep_s * 1000, config->idempotency_keys_max);
    if (config->digest_key[0] == '\0')
        return SM_OK;
    code = sm_digest_key_read(key, config->digest_key, err);
    if (code == SM_OK)
        sm_store_set_digest_key(*out, key);
    return code;
}

static struct sm_jobs_params jobs_params(const struct sm_api *api)
{
    const struct sm_config *config = api->config;
    return (struct sm_jobs_params){
        .store = api->store,
        .pairs = api->pairs,
        .decoders = api->decoders,
        .workers = sm_config_workers(config),
        .queue_max = config->queue_max,
        .queue_bytes_max = config->queue_bytes_max,
        .queue_cost_ms_max = config->queue_cost_ms_max,
        .item_cost_ms_max = config->item_cost_ms_max,
        .retention_days = {[SM_EXPIRE_THUMBNAILS] = config->retention_thumbnails_days,
                           [SM_EXPIRE_AUDITS] = config->retention_audits_days,
                           [SM_EXPIRE_JOBS] = config->retention_jobs_days,
                           [SM_EXPIRE_SCORES] = config->retention_scores_days}};
}

/* Checks the folder of pairs and the addresses, because loading the pairs takes long. */
static enum sm_code check_places(const struct sm_config *config, struct sm_err *err)
{
    const char *option = NULL;
    enum sm_code code = sm_check_pairs(config, err);
    if (code == SM_OK) {
        option = "listen";
        code = sm_listen_try(config->listen, err);
    }
    if (code == SM_OK && strcmp(config->admin_listen, "off") != 0) {
        option = "admin-listen";
        code = sm_listen_try(config->admin_listen, err);
    }
    if (code != SM_IO || !option)
        return code;
    const struct sm_err why = *err;
    return sm_err_set(err, code, "%.180s (--%s takes another address)", why.text, option);
}

static enum sm_code serve(struct sm_config *config, int argc, char **argv, struct sm_err *err)
{
    struct sm_api api = {.config = config, .started_ms = sm_clock_unix_ms()};
    struct sm_http *http = NULL, *admin = NULL;
    struct sm_tls *tls = NULL;
    struct sm_drain drain = {0};
    enum sm_code code = SM_OK;
    if (!sm_kernels_find(config->kernels)) {
        code = sm_err_set(err, SM_UNSUPPORTED, "kernels %s: this processor has none of them",
                          config->kernels);
        goto out;
    }
    if ((code = check_places(config, err)) != SM_OK)
        goto out;
    sm_pulses_set_bound(1000 * config->heartbeat_max_s);
    if ((code = start_metrics(err)) != SM_OK)
        goto out;
    if (config->tls_cert[0] != '\0' &&
        (code = sm_tls_new(&tls, config->tls_cert, config->tls_key, err)) != SM_OK)
        goto out;
    if ((code = start_decoders(&api.decoders, config, err)) != SM_OK)
        goto out;
    if ((code = open_store(&api.store, config, err)) != SM_OK)
        goto out;
    code = sm_pairs_load(&api.pairs, config->pairs, config->kernels, err);
    if (code != SM_OK)
        goto out;
    struct sm_jobs_params jobs = jobs_params(&api);
    if ((code = sm_jobs_start(&api.jobs, &jobs, err)) != SM_OK)
        goto out;
    if ((code = sm_api_start(&api, err)) != SM_OK)
        goto out;
    if ((code = start_public(&http, &api, tls, err)) != SM_OK)
        goto out;
    if ((code = start_admin(&admin, &api, err)) != SM_OK)
        goto out;
    sm_log("info", "listening", "{s:s, s:s, s:s, s:s, s:s, s:i}", "address", sm_http_address(http),
           "version", SM_VERSION, "microhttpd", sm_http_version(), "blas", sm_blas_version(),
           "kernels", sm_kernels_find(config->kernels), "workers", jobs.workers);
    print_addresses(http, admin, tls != NULL);
    await_stop(&(struct sm_reload){argc, argv, config, http, api.jobs, tls});
    begin_drain(&drain, &api);

out:
    sm_http_stop(http);
    sm_http_stop(admin); /* after the public listener, so that scrapers see the drain */
    sm_api_stop(&api);
    if (api.jobs)
        sm_jobs_stop_by(api.jobs, drain.limit_ms > 0 ? drain.give_up_ms : INT64_MAX);
    if (api.store)
        sm_store_close(api.store);
    sm_decoders_stop(api.decoders);
    sm_pairs_free(api.pairs);
    sm_tls_free(tls);
    sm_metrics_stop();
    sm_drain_end(&drain);
    return code;
}

static int print_help(void)
{
    puts(
        "usage: sslmem serve [options]\n\n"
        "Loads every pair below the pairs folder and serves scores over HTTP until SIGINT or\n"
        "SIGTERM. A flag goes before its environment variable, that before the file. SIGHUP reads\n"
        "file and certificate again.\n\n"
        "options:");
    sm_config_help(stdout);
    puts("\nexit codes: 0 stopped, 1 something failed, 2 wrong usage");
    return SM_EXIT_OK;
}

static int print_config(const struct sm_config *config)
{
    json_t *document = sm_config_json(config);
    char *text = document ? sm_json_text(document, JSON_INDENT(4)) : NULL;
    bool printed = text && puts(text) != EOF;
    free(text);
    json_decref(document);
    if (!printed)
        fputs("sslmem serve: the configuration cannot be printed as JSON\n", stderr);
    return printed ? SM_EXIT_OK : SM_EXIT_FAILED;
}

static enum sm_code run(struct sm_config *config, int argc, char **argv, struct sm_err *err)
{
    sem_init(&signalled, 0, 0);
    handle_signals(on_stop);
    return serve(config, argc, argv, err);
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
        return sm_check_config(&config);
    if (code == SM_OK)
        code = run(&config, argc - 1, argv + 1, &err);
    if (code == SM_OK)
        return SM_EXIT_OK;
    sm_fail("serve", &err);
    return code == SM_INVALID ? SM_EXIT_USAGE : SM_EXIT_FAILED;
}
