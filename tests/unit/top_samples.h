/* SPDX-License-Identifier: Apache-2.0 */
/* What guests answer `ebb top`, for its tests. */
#ifndef EBB_TEST_TOP_SAMPLES_H
#define EBB_TEST_TOP_SAMPLES_H

#include "vmm/top/figures.h"

#define MIB (UINT64_C(1) << 20)

/* A guest of 1 GiB, with 300 MiB free and 64 in its balloon. */
extern const struct top_sample top_usual;

struct top_sample top_later(struct top_sample sample, uint64_t ns);

/* 100 MiB of programs' memory, and 300 of files, of which half was not used for 10 s or longer, and so on. */
struct top_sample top_aged(void);

#endif
