/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines of `ebb run`, as words in tables. */
#ifndef EBB_TEST_CONFIG_WORDS_H
#define EBB_TEST_CONFIG_WORDS_H

#include "vmm/config/config.h"

#define WORDS_MAX    8
#define MIB	     (UINT64_C(1) << 20)
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* What config_parse() wrote last. */
extern char config_error[256];

/* Parses @words, up to a NULL. */
enum config_outcome config_words(struct vm_config *config, const char *const *words);

/* A command line with a mistake, and what must be said of it: what is wrong, and what to do. */
struct config_mistake {
	const char *words[WORDS_MAX + 1];
	const char *says[3];
};

/* Asserts that the mistake is told in one line with all of that. */
void config_mistaken(const struct config_mistake *mistake);

#endif
