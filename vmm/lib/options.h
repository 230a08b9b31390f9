/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the words of a command line by a table of options; the usage text is made from the same
 * table. getopt_long() is not used: it prints its own messages and accepts any unambiguous prefix
 * of an option.
 *
 * Pure: opens and prints nothing, except for options_usage() and options_usage_set(). Thread: any.
 */
#ifndef EBB_LIB_OPTIONS_H
#define EBB_LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Ids with a meaning of their own. The ids of a table are 0 and up. */
#define OPTION_WORD (-1) /* a word that is not an option, if the table allows such words */
#define OPTION_HELP (-2) /* handled by options_parse() */

/*
 * An option with a value may be given only once: of two values, one would be ignored silently. With
 * this bit in its id it may be given several times; its option_apply gets the id without the bit,
 * each time.
 */
#define OPTION_AGAIN (1 << 16)

struct option {
	int id;
	char letter; /* or 0 */
	const char *name;
	const char *value;   /* the value's name in the usage, or NULL for an option without one */
	const char *help;    /* lines, separated by \n */
	bool value_optional; /* --name=VALUE, or --name alone */
};

#define OPTION_HELP_LINE                                                                           \
	{                                                                                          \
		OPTION_HELP, 'h', "help", NULL, "this text", false                                 \
	}

struct option_error;

struct option_table {
	const char *command; /* "ebb run" */
	const char *words;   /* words besides options, such as "[KERNEL]"; NULL: none */
	const char *about;   /* describes the command: lines, separated by \n */
	const struct option *option;
	size_t options;
};

/* The options of one part of a command and the functions for them. All get the parser's ctx. */
struct option_group {
	const struct option *option;
	size_t options;
	int (*apply)(void *ctx, int id, const char *value, struct option_error *error);
	/* Called before any option is applied; sets defaults that are not 0. May be NULL. */
	void (*defaults)(void *ctx);
	/*
	 * Called after all options; sets members that depend on several. Returns 0, or not 0 with
	 * @error set. May be NULL.
	 */
	int (*check)(void *ctx, struct option_error *error);
};

/* A command's options: those of its groups in their order, then those of its table. */
struct option_set {
	const struct option_table *table;
	const struct option_group *const *group;
	size_t groups;
};

/* Takes the error message: one line, in the caller's memory. */
struct option_error {
	char *text;
	size_t size;
};

enum option_outcome {
	OPTIONS_DONE,
	OPTIONS_HELP,  /* -h or --help is given */
	OPTIONS_ERROR, /* the error tells the mistake and the remedy */
};

/*
 * Applies an option. @value points into argv, or is NULL if there is none. Returns 0, or not 0 with
 * @error set by options_fail(); or, for a word, OPTIONS_END: all that follow are words, too.
 */
#define OPTIONS_END 1
typedef int option_apply(void *ctx, int id, const char *value, struct option_error *error);

/*
 * Parses @argc words. A value follows its option or "="; an optional value follows "=", or is the
 * next word if that begins with a digit and the table allows no other words.
 */
enum option_outcome options_parse(const struct option_table *table, int argc, char **argv,
				  option_apply *apply, void *ctx, struct option_error *error);

/*
 * The same with the options of several parts. Each group's apply gets its own options; @apply gets
 * words and the table's options. Groups are checked in order, so a check may read the settings of
 * the groups before it.
 */
enum option_outcome options_parse_set(const struct option_set *set, int argc, char **argv,
				      option_apply *apply, void *ctx, struct option_error *error);

/* Returns the option at index @i, or NULL beyond the last. */
const struct option *options_at(const struct option_set *set, size_t i);

/* Sets @error, made safe for a terminal by text_escape(). Always returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int options_fail(struct option_error *error,
						       const char *format, ...);

void options_usage(const struct option_table *table, FILE *out);
void options_usage_set(const struct option_set *set, FILE *out);

/*
 * Returns the index of the name that is most like the @len characters at @word, or -1 if none is
 * like them. @name returns the name at index i of @names.
 */
int options_nearest(const char *word, size_t len, const char *(*name)(const void *ctx, size_t i),
		    const void *ctx, size_t names);

/* --- values ---------------------------------------------------------------------------------- */

/*
 * Parses decimal digits. They must fill @text if @rest is NULL; otherwise *@rest is set to the text
 * after them. Returns 0, -EINVAL or -ERANGE.
 */
int options_number(const char *text, uint64_t *number, const char **rest);

/*
 * Parses a size with one of kvmtool's suffixes B K M G T P in either case, or without one in MiB.
 * Returns 0, or -EINVAL with @error set if @what (such as "memory") is not a size or not a whole
 * number of MiB.
 */
int options_size(const char *what, const char *text, uint64_t *bytes, struct option_error *error);

/*
 * Parses seconds, with or without a fraction, up to a day. Returns 0, or -EINVAL with @error set.
 */
int options_seconds(const char *what, const char *text, unsigned int *milliseconds,
		    struct option_error *error);

#endif
