/* References are counted without a lock: whoever takes one has one already, or holds the lock of
 * the registry, which has one. Scorers belong to the generation, not to their threads, so that a
 * pair can be replaced without waiting for every thread to free its scorer. */
#include "server/jobs/generation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct sm_generation {
    struct sm_pair *pair;
    int64_t number;
    atomic_int uses;
    struct sm_canary canary;
    pthread_mutex_t mutex; /* guards the list of slots and their flags */
    struct sm_scorer_slot *slots;
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
    for (struct sm_scorer_slot *slot = generation->slots, *next; slot; slot = next) {
        next = slot->next;
        sm_scorer_free(slot->scorer);
        free(slot);
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

/* Returns a free slot, if possible the thread's last one; NULL if every slot is taken. The caller
 * holds the mutex. */
static struct sm_scorer_slot *find_slot(struct sm_generation *generation, const void *thread)
{
    struct sm_scorer_slot *found = NULL;
    for (struct sm_scorer_slot *slot = generation->slots; slot; slot = slot->next)
        if (!slot->taken && (!found || slot->thread == thread))
            found = slot;
    return found;
}

enum sm_code sm_scorer_slot_take(struct sm_scorer_slot **out, struct sm_generation *generation,
                                 const void *thread, struct sm_err *err)
{
    pthread_mutex_lock(&generation->mutex);
    struct sm_scorer_slot *slot = find_slot(generation, thread);
    if (slot) {
        slot->taken = true;
        slot->thread = thread;
    }
    pthread_mutex_unlock(&generation->mutex);
    *out = slot;
    if (slot)
        return SM_OK;
    slot = calloc(1, sizeof *slot);
    enum sm_code code = slot ? sm_scorer_new(&slot->scorer, generation->pair, err)
                             : sm_err_set(err, SM_NOMEM, "scorer: out of memory");
    if (code != SM_OK) {
        free(slot);
        return code;
    }
    slot->taken = true;
    slot->thread = thread;
    pthread_mutex_lock(&generation->mutex);
    slot->next = generation->slots;
    generation->slots = slot;
    pthread_mutex_unlock(&generation->mutex);
    *out = slot;
    return SM_OK;
}

void sm_scorer_slot_give(struct sm_generation *generation, struct sm_scorer_slot *slot)
{
    pthread_mutex_lock(&generation->mutex);
    slot->taken = false;
    pthread_mutex_unlock(&generation->mutex);
}
