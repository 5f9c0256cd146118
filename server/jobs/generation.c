/* Uses are counted without a lock; whoever takes one has one already, or holds the lock of the
 * registry, which has one. Scorers live here and not with their threads: a pair that is replaced
 * then needs no thread to let go of what it keeps for it. */
#include "server/jobs/generation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sm_generation {
    struct sm_pair *pair;
    int64_t number;
    atomic_int uses;
    struct sm_canary canary;
    pthread_mutex_t mutex; /* guards the list and its flags */
    struct sm_seat *seats;
};

enum sm_code sm_generation_new(struct sm_generation **out, struct sm_pair *pair, int64_t number,
                               struct sm_err *err)
{
    struct sm_generation *generation = calloc(1, sizeof *generation);
    *out = generation;
    if (!generation) {
        sm_pair_close(pair);
        return sm_err_set(err, SM_NOMEM, "pair: out of memory");
    }
    generation->pair = pair;
    generation->number = number;
    atomic_init(&generation->uses, 1);
    pthread_mutex_init(&generation->mutex, NULL);
    pthread_mutex_init(&generation->canary.mutex, NULL);
    return SM_OK;
}

struct sm_generation *sm_generation_take(struct sm_generation *generation)
{
    atomic_fetch_add(&generation->uses, 1);
    return generation;
}

void sm_generation_give(struct sm_generation *generation)
{
    if (!generation || atomic_fetch_sub(&generation->uses, 1) > 1)
        return;
    for (struct sm_seat *seat = generation->seats, *next; seat; seat = next) {
        next = seat->next;
        sm_scorer_free(seat->scorer);
        free(seat);
    }
    sm_pair_close(generation->pair);
    pthread_mutex_destroy(&generation->canary.mutex);
    pthread_mutex_destroy(&generation->mutex);
    free(generation);
}

const struct sm_pair *sm_generation_pair(const struct sm_generation *generation)
{
    return generation->pair;
}

struct sm_canary *sm_generation_canary(struct sm_generation *generation)
{
    return &generation->canary;
}

int64_t sm_generation_number(const struct sm_generation *generation)
{
    return generation->number;
}

/* NULL when every seat is taken. */
static struct sm_seat *find_seat(struct sm_generation *generation, const void *thread)
{
    struct sm_seat *found = NULL;
    for (struct sm_seat *seat = generation->seats; seat; seat = seat->next)
        if (!seat->taken && (!found || seat->thread == thread))
            found = seat;
    return found;
}

enum sm_code sm_seat_take(struct sm_seat **out, struct sm_generation *generation,
                          const void *thread, struct sm_err *err)
{
    pthread_mutex_lock(&generation->mutex);
    struct sm_seat *seat = find_seat(generation, thread);
    if (seat) {
        seat->taken = true;
        seat->thread = thread;
    }
    pthread_mutex_unlock(&generation->mutex);
    *out = seat;
    if (seat)
        return SM_OK;
    seat = calloc(1, sizeof *seat);
    enum sm_code code = seat ? sm_scorer_new(&seat->scorer, generation->pair, err)
                             : sm_err_set(err, SM_NOMEM, "scorer: out of memory");
    if (code != SM_OK) {
        free(seat);
        return code;
    }
    seat->taken = true;
    seat->thread = thread;
    pthread_mutex_lock(&generation->mutex);
    seat->next = generation->seats;
    generation->seats = seat;
    pthread_mutex_unlock(&generation->mutex);
    *out = seat;
    return SM_OK;
}

void sm_seat_give(struct sm_generation *generation, struct sm_seat *seat)
{
    pthread_mutex_lock(&generation->mutex);
    seat->taken = false;
    pthread_mutex_unlock(&generation->mutex);
}
