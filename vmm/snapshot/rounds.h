/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends guest RAM while the guest runs: all of it, then, round by round, what was written meanwhile, as somebody else has found
 * out (vmm/machine/live.h). What the reader has after the last round, when nothing writes any more, is what RAM holds:
 *
 * - A round clears a page's bit before it copies the page: what is written later sets it again, for the next round.
 * - What holds nothing is not sent; but if the reader has something there, it is told that the page reads as zero now. So a page
 *   that the guest gives back between two rounds cannot come back with what it held before.
 *
 * Thread: its owner's. Other threads and the guest write to RAM meanwhile.
 */
#ifndef EBB_SNAPSHOT_ROUNDS_H
#define EBB_SNAPSHOT_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/snapshot/written.h"

struct rounds;

/*
 * All pages of @ram are to be sent. Returns 0, -EOPNOTSUPP if its pages are not SNAPSHOT_PAGE, or -ENOMEM; then *@rounds is NULL.
 */
int rounds_new(struct rounds **rounds, const struct ram *ram, struct snapshot_writer *writer);
void rounds_free(struct rounds *rounds);

/*
 * Sends the pages that are to be sent. @goes_on is asked now and then whether it shall. Returns 0, -ECANCELED if it shall not, or
 * -errno: of the writer, or since the host does not tell which memory is used.
 */
int rounds_send(struct rounds *rounds, bool (*goes_on)(void *ctx), void *ctx);

/*
 * The pages of RAM's region @region that are to be sent in the next round, a bit for each; none after a round. The owner sets bits,
 * dirty_log_words() words of them.
 */
uint64_t *rounds_next(struct rounds *rounds, unsigned int region);
/* Returns how many of these pages, in all regions, may hold something: the others, which were given back, cost next to nothing. */
uint64_t rounds_left(struct rounds *rounds);

#endif
