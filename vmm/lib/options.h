/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of a command line by a table of options, from which the usage text is made too. Not
 * getopt_long(): it prints its own messages and takes any unambiguous beginning of an option.
 *
 * Pure: nothing is opened or printed (but for options_usage()). Thread: any.
 */
#ifndef EBB_LIB_OPTIONS_H
#define EBB_LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The ids that a table need not number: its own are 0 and up. */
#define OPTION_WORD (-1) /* a word that is no option, where the table has some */
#define OPTION_HELP (-2) /* seen to by options_parse() */

/*
 * An option with a value may be given once: of two values one would be dropped without a word. An id with
 * this bit may come again, and its option_apply, which gets the id without the bit, knows what to do then.
 */
#define OPTION_AGAIN (1 << 16)

struct option {
	int id;
	char letter; /* or 0 */
	const char *name;
	const char *value;   /* what the value is called, or NULL for an option without one */
	const char *help;    /* lines, parted by \n */
	bool value_optional; /* --name=VALUE, or --name alone */
};

#define OPTION_HELP_LINE                                                                           \
	{                                                                                          \
		OPTION_HELP, 'h', "help", NULL, "this text", false                                 \
	}

struct option_error;

struct option_table {
	const char *command; /* "ebb run" */
	const char *words;   /* what may come beside options: "[KERNEL]"; NULL: nothing may */
	const char *about;   /* what the command does: lines, parted by \n */
	const struct option *option;
	size_t options;
};

/* Options of one part of a command, with what is done about them. All get the parser's ctx. */
struct option_group {
	const struct option *option;
	size_t options;
	int (*apply)(void *ctx, int id, const char *value, struct option_error *error);
	/* Before all options, or NULL: sets what is not all zero without them. */
	void (*defaults)(void *ctx);
	/* Behind all options, or NULL: fills in what depends on several; 0, or not 0 with @error set. */
	int (*check)(void *ctx, struct option_error *error);
};

/* A command's options: those of its groups in their order, then those of its table. */
struct option_set {
	const struct option_table *table;
	const struct option_group *const *group;
	size_t groups;
};

/* Where it is said what is wrong: one line, in the caller's memory. */
struct option_error {
	char *text;
	size_t size;
};

enum option_outcome {
	OPTIONS_DONE,
	OPTIONS_HELP,  /* -h or --help was given */
	OPTIONS_ERROR, /* the error says what is wrong and what to do */
};

/*
 * What an option does. @value is NULL for one without; it points into argv. Returns 0, or
 * not 0 having said what is wrong with options_fail().
 */
typedef int option_apply(void *ctx, int id, const char *value, struct option_error *error);

/*
 * Goes through @argc words. A value follows its option or "="; one that may be left out follows
 * "=", or is the next word where that begins with a digit and the table has no words of its own.
 */
enum option_outcome options_parse(const struct option_table *table, int argc, char **argv,
				  option_apply *apply, void *ctx, struct option_error *error);

/*
 * The same with the options of several parts. Each group's apply sees to its own options; @apply gets words
 * and the table's options. Groups are checked in their order, so that one may look at those before it.
 */
enum option_outcome options_parse_set(const struct option_set *set, int argc, char **argv,
				      option_apply *apply, void *ctx, struct option_error *error);

/* The @i-th option, or NULL behind the last one. */
const struct option *options_at(const struct option_set *set, size_t i);

/* Says what is wrong, with a '?' for each control character; always -EINVAL. */
__attribute__((format(printf, 2, 3))) int options_fail(struct option_error *error,
						       const char *format, ...);

void options_usage(const struct option_table *table, FILE *out);
void options_usage_set(const struct option_set *set, FILE *out);

/*
 * The index of the name that was probably meant by the @len characters at @word, or -1: @name
 * gives the i-th of @names.
 */
int options_nearest(const char *word, size_t len, const char *(*name)(const void *ctx, size_t i),
		    const void *ctx, size_t names);

/* --- values ---------------------------------------------------------------------------------- */

/* Digits only, up to the end or to what *@rest (unless NULL) points at. 0, -EINVAL or -ERANGE. */
int options_number(const char *text, uint64_t *number, const char **rest);

/*
 * A size in bytes by kvmtool's suffixes B K M G T P, either case; none is MiB. Returns 0, or
 * -EINVAL having said that @what (such as "memory") is no size or not a whole number of MiB.
 */
int options_size(const char *what, const char *text, uint64_t *bytes, struct option_error *error);

/* Seconds, whole or with a fraction, up to a day, as milliseconds. 0 or -EINVAL, having said so. */
int options_seconds(const char *what, const char *text, unsigned int *milliseconds,
		    struct option_error *error);

#endif
