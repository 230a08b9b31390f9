/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where Debian's packages come from: the mirrors that this machine's apt is configured with.
 *
 * Pure, but for sources_read() and sources_keyring(). Thread: main. Source: apt-get(8), --print-uris; sources.list(5).
 */
#ifndef EBB_IMAGES_SOURCES_H
#define EBB_IMAGES_SOURCES_H

#include <stdbool.h>

#define SOURCES_MAX	  16
#define SOURCES_LINE_SIZE 512

struct source {
	char uri[256];
	char suite[32]; /* such as "bookworm" or "bookworm-security" */
};

struct sources {
	unsigned int count;
	struct source source[SOURCES_MAX];
};

/* The suites that an image can be of. */
extern const char sources_suites[];

/* Returns whether @suite is one of them. */
bool sources_knows(const char *suite);

/*
 * Takes a line that apt prints of a file that it would fetch: adds its source, if it is of one of Debian's suites or what
 * belongs to such a suite (-updates, -security), and new.
 */
void sources_take(struct sources *sources, const char *line);

/* Returns the suite that this machine is of, or NULL if its apt has none of Debian's. */
const char *sources_own(const struct sources *sources);

/*
 * Writes lines of a sources.list, for @suite and what belongs to it, from the mirrors that this machine has its own suite
 * from. @keyring: a file, or "". Returns their number.
 */
unsigned int sources_lines(const struct sources *sources, const char *suite, const char *keyring,
			   char line[SOURCES_MAX][SOURCES_LINE_SIZE]);

/* Returns whether there are security updates of @suite that sources_lines() does not name. */
bool sources_lack_security(const struct sources *sources, const char *suite);

/* Asks apt; needs no network. Returns 0, or -errno after an error message. */
int sources_read(struct sources *sources);

/* Returns the file of Debian's keys, or "". */
const char *sources_keyring(void);

#endif
