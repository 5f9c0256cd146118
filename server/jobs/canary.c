/* One thread scores the canary, without the team: it must not take other workers from their work,
 * and any thread can find broken hardware. */
#include "server/jobs/canary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/pulse.h"
#include "server/jobs/pairs.h"
#include "sslmem/task.h"

#define SIDE_PX_MAX  4096
#define COST_FACTOR  100 /* time to the next turn, in durations of the last; at least a period */
#define BUSY_PERIODS 10  /* a busy thread takes a canary that is overdue by so many periods */
#define RETRY_MS     1000

/* Draws an image of the usual size before a centre crop, without areas of a single colour. */
static enum sm_code draw(struct sm_decoded *out, int32_t input_px, struct sm_err *err)
{
    int32_t side = input_px + input_px / 7;
    side = side < SIDE_PX_MAX ? side : SIDE_PX_MAX;
    size_t bytes_count = (size_t)side * (size_t)side * 3;
    *out = (struct sm_decoded){.info = {.width_px = side, .height_px = side, .orientation = 1}};
    out->image = (struct sm_image){.width_px = side, .height_px = side, .rgb = malloc(bytes_count)};
    if (!out->image.rgb)
        return sm_err_set(err, SM_NOMEM, "canary of %zu bytes: out of memory", bytes_count);
    for (size_t i = 0; i < bytes_count; i++) {
        size_t x = i / 3 % (size_t)side, y = i / 3 / (size_t)side, c = i % 3;
        out->image.rgb[i] = (uint8_t)((x * x + 5 * x * y + 3 * y * y) / (32 + 16 * c) + 85 * c);
    }
    return SM_OK;
}

/* Called repeatedly during a forward, which may take a minute; beats the pulse. */
static bool go_on(void *arg)
{
    const struct sm_canary_turn *turn = arg;
    sm_pulse_beat("canary");
    return !turn || !turn->give_up(turn->arg);
}

static enum sm_code run_rounds(struct sm_task *task, struct sm_scorer *scorer,
                               const struct sm_canary_turn *turn, struct sm_err *err)
{
    const struct sm_watch watch = {go_on, (void *)(uintptr_t)turn};
    size_t units_count = 0;
    enum sm_code code = SM_OK;
    sm_scorer_watch(scorer, &watch);
    while (code == SM_OK && (code = sm_task_round(&units_count, task, err)) == SM_OK &&
           units_count > 0)
        for (size_t unit = 0; unit < units_count && code == SM_OK; unit++) {
            code = sm_watch_ask(&watch, err);
            if (code == SM_OK)
                code = sm_task_run(task, unit, scorer, err);
        }
    sm_scorer_watch(scorer, NULL);
    return code;
}

/* Writes the canary's score m, or, of a pair without g, its alignment. */
static enum sm_code score(double *m, struct sm_generation *generation,
                          const struct sm_canary_turn *turn, struct sm_err *err)
{
    const struct sm_pair *pair = sm_generation_pair(generation);
    struct sm_recipe recipe = *sm_pair_recipe(pair);
    struct sm_decoded decoded;
    struct sm_task *task = NULL;
    struct sm_scorer_slot *slot = NULL;
    struct sm_score result;
    recipe.views = 2;
    recipe.target_se = 0;
    enum sm_code code = draw(&decoded, sm_pair_input_px(pair), err);
    if (code == SM_OK)
        code = sm_task_open_decoded(&task, pair, &recipe, &decoded, err);
    if (code == SM_OK)
        code = sm_scorer_slot_take(&slot, generation, turn ? turn->thread : generation, err);
    if (code == SM_OK)
        code = run_rounds(task, slot->scorer, turn, err);
    if (code == SM_OK) {
        sm_task_finish(&result, task);
        *m = sm_pair_has_g(pair) ? result.m : result.f.mean;
    }
    if (slot)
        sm_scorer_slot_give(generation, slot);
    sm_task_free(task);
    return code;
}

enum sm_code sm_canary_score(double *m, struct sm_generation *generation, struct sm_err *err)
{
    return score(m, generation, NULL, err);
}

static int64_t next_ms(int64_t began_ms, int64_t now_ms)
{
    int64_t rest_ms = COST_FACTOR * (now_ms - began_ms);
    return now_ms + (rest_ms > SM_CANARY_PERIOD_MS ? rest_ms : SM_CANARY_PERIOD_MS);
}

enum sm_code sm_canary_start(struct sm_generation *generation, const char *name, struct sm_err *err)
{
    struct sm_canary *canary = sm_generation_canary(generation);
    struct sm_err why = {0};
    int64_t began_ms = sm_clock_monotonic_ms();
    enum sm_code code = sm_canary_score(&canary->first, generation, &why);
    canary->last = canary->first;
    canary->sings = code == SM_OK;
    canary->scored_ms = sm_clock_monotonic_ms();
    canary->due_ms = next_ms(began_ms, canary->scored_ms);
    if (code == SM_NOMEM)
        return sm_err_set(err, code, "%s", why.text);
    if (code != SM_OK)
        sm_log("warning", "pair_without_canary", "{s:s, s:s}", "pair", name, "reason", why.text);
    return SM_OK;
}

static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= SM_CANARY_TOLERANCE * (1 + fabs(b));
}

static bool take(struct sm_canary *canary, bool busy)
{
    int64_t now_ms = sm_clock_monotonic_ms();
    pthread_mutex_lock(&canary->mutex);
    int64_t due_ms = canary->due_ms;
    if (busy)
        due_ms += BUSY_PERIODS * (canary->due_ms - canary->scored_ms);
    bool due = canary->sings && !canary->taken && now_ms >= due_ms;
    canary->taken |= due;
    pthread_mutex_unlock(&canary->mutex);
    return due;
}

/* Stores the result of a turn, and logs if the canary changed or recovered. The caller holds the
 * mutex. */
static void note(struct sm_canary *canary, const char *name, enum sm_code code, double m,
                 const struct sm_err *why)
{
    bool was_well = canary->reason[0] == '\0';
    canary->reason[0] = '\0';
    if (code == SM_OK) {
        canary->last = m;
        if (!same(m, canary->first))
            snprintf(canary->reason, sizeof canary->reason,
                     "pair %.63s: the canary scores %.9g, it scored %.9g after the load", name, m,
                     canary->first);
    } else {
        snprintf(canary->reason, sizeof canary->reason, "pair %.63s: the canary: %.70s", name,
                 why->text);
    }
    bool well = canary->reason[0] == '\0';
    if (well != was_well)
        sm_log(well ? "info" : "error", well ? "canary_recovered" : "canary_changed", "{s:s, s:s}",
               "pair", name, "reason", canary->reason);
}

static void take_turn(const struct sm_pair_state *state, const struct sm_canary_turn *turn)
{
    struct sm_canary *canary = sm_generation_canary(state->generation);
    struct sm_err why = {0};
    double m = 0;
    int64_t began_ms = sm_clock_monotonic_ms();
    enum sm_code code = score(&m, state->generation, turn, &why);
    int64_t now_ms = sm_clock_monotonic_ms();
    pthread_mutex_lock(&canary->mutex);
    canary->taken = false;
    if (code == SM_CANCELLED) {
        canary->due_ms = now_ms + RETRY_MS;
    } else {
        note(canary, state->name, code, m, &why);
        canary->scored_ms = now_ms;
        canary->due_ms = next_ms(began_ms, now_ms);
    }
    pthread_mutex_unlock(&canary->mutex);
}

bool sm_canary_take_turn(struct sm_pairs *pairs, const struct sm_canary_turn *turn)
{
    struct sm_pair_state *states;
    struct sm_err err;
    int count;
    bool taken = false;
    if (sm_pairs_list(&states, &count, pairs, NULL, &err) != SM_OK)
        return false;
    for (int i = 0; i < count && !taken; i++) {
        if (!states[i].generation)
            continue;
        taken = take(sm_generation_canary(states[i].generation), turn->busy);
        if (taken)
            take_turn(&states[i], turn);
    }
    sm_pairs_list_free(states, count);
    return taken;
}

bool sm_canary_is_well(char reason[160], struct sm_generation *generation)
{
    struct sm_canary *canary = sm_generation_canary(generation);
    pthread_mutex_lock(&canary->mutex);
    memcpy(reason, canary->reason, sizeof canary->reason);
    pthread_mutex_unlock(&canary->mutex);
    return reason[0] == '\0';
}
