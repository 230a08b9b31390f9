// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/text.h"

#define MIB		(UINT64_C(1) << 20)
#define NAME_MAX_LENGTH 32 /* of an option */
#define HELP_COLUMN	30
#define SECONDS_MAX	86400
#define ERROR_MAX	1024 /* bytes of a message */

int options_fail(struct option_error *error, const char *format, ...)
{
	char text[ERROR_MAX];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The message repeats words of the command line, which may hold any bytes. */
	text_escape(error->text, error->size, text, false);
	return -EINVAL;
}

/* --- values ---------------------------------------------------------------------------------- */

int options_number(const char *text, uint64_t *number, const char **rest)
{
	char *end;
	/* strtoull() itself accepts a sign and spaces. */
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	int err = errno ? -ERANGE : 0;
	if (rest)
		*rest = end;
	else if (*end)
		return -EINVAL;
	return err;
}

static int parse_size(const char *text, uint64_t *bytes)
{
	static const struct {
		char suffix;
		unsigned int shift;
	} units[] = {{'\0', 20}, {'B', 0}, {'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}, {'P', 50}};

	uint64_t number;
	const char *rest;
	int err = options_number(text, &number, &rest);
	if (err == -EINVAL || (rest[0] && rest[1]))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (toupper((unsigned char)*rest) != units[i].suffix)
			continue;
		if (err || number > UINT64_MAX >> units[i].shift)
			return -ERANGE;
		*bytes = number << units[i].shift;
		return 0;
	}
	return -EINVAL;
}

int options_size(const char *what, const char *text, uint64_t *bytes, struct option_error *error)
{
	int err = parse_size(text, bytes);
	if (err == -ERANGE)
		return options_fail(error,
				    "%s \"%s\" is too large; write a size such as 512M or 2G", what,
				    text);
	if (err)
		return options_fail(error,
				    "%s \"%s\" is not a size; write a number and one of "
				    "B K M G T P, such as 512M or 2G",
				    what, text);
	if (*bytes % MIB)
		return options_fail(error, "%s \"%s\" is not a whole number of MiB; write %lluM",
				    what, text, (unsigned long long)(*bytes / MIB + 1));
	return 0;
}

int options_seconds(const char *what, const char *text, unsigned int *milliseconds,
		    struct option_error *error)
{
	uint64_t seconds = 0;
	uint64_t fraction = 0;
	const char *rest = "";
	int err = options_number(text, &seconds, &rest);
	if (!err && *rest == '.') {
		unsigned int weight = 100;
		for (rest++; isdigit((unsigned char)*rest); rest++, weight /= 10)
			fraction += weight * (uint64_t)(*rest - '0');
	}
	if (err || *rest || seconds > SECONDS_MAX)
		return options_fail(error,
				    "%s \"%s\" is not a time; write seconds, %d or fewer, such as "
				    "2 or 0.5",
				    what, text, SECONDS_MAX);
	*milliseconds = (unsigned int)(seconds * 1000 + fraction);
	return 0;
}

/* --- suggestions ----------------------------------------------------------------------------- */

/* Returns the edit distance: insertions, deletions and changes of one character. */
static unsigned int edit_distance(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b);
	unsigned int row[NAME_MAX_LENGTH + 1]; /* row[j]: a's first i characters to b's first j */
	if (b_len > NAME_MAX_LENGTH)
		return NAME_MAX_LENGTH;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b_len];
}

int options_nearest(const char *word, size_t len, const char *(*name)(const void *ctx, size_t i),
		    const void *ctx, size_t names)
{
	int nearest = -1;
	unsigned int nearest_distance = len / 3 < 2 ? 2 : len / 3;
	if (len < 3 || len > NAME_MAX_LENGTH)
		return -1;
	for (size_t i = 0; i < names; i++) {
		const char *candidate = name(ctx, i);
		size_t common = strlen(candidate);
		common = common < len ? common : len;
		unsigned int distance = edit_distance(word, len, candidate);
		/*
		 * --memory and --free-page-report differ in many characters, but their meaning is
		 * clear.
		 */
		if (strncmp(word, candidate, common) == 0 && distance > 1)
			distance = 1;
		if (distance <= nearest_distance && (nearest < 0 || distance < nearest_distance)) {
			nearest = (int)i;
			nearest_distance = distance;
		}
	}
	return nearest;
}

/* --- words ----------------------------------------------------------------------------------- */

#define OPTIONS_MAX 128 /* of a set; later ones work, but may be given twice unnoticed */

struct parse {
	const struct option_set *set;
	option_apply *apply;
	void *ctx;
	struct option_error *error;
	bool seen[OPTIONS_MAX];
};

/* An option of a set: its index, and the function that applies it. */
struct place {
	const struct option *option;
	option_apply *apply; /* NULL: an option of the table itself */
	size_t index;
};

static struct place place_at(const struct option_set *set, size_t i)
{
	size_t left = i;
	for (size_t g = 0; g < set->groups; g++) {
		const struct option_group *group = set->group[g];
		if (left < group->options)
			return (struct place){&group->option[left], group->apply, i};
		left -= group->options;
	}
	if (left < set->table->options)
		return (struct place){&set->table->option[left], NULL, i};
	return (struct place){NULL, NULL, i};
}

const struct option *options_at(const struct option_set *set, size_t i)
{
	return place_at(set, i).option;
}

static size_t count_options(const struct option_set *set)
{
	size_t count = set->table->options;
	for (size_t g = 0; g < set->groups; g++)
		count += set->group[g]->options;
	return count;
}

static const char *option_name(const void *ctx, size_t i)
{
	return options_at(ctx, i)->name;
}

static int fail_unknown(struct parse *parse, const char *word, const char *name, size_t len)
{
	const struct option_set *set = parse->set;
	int nearest = options_nearest(name, len, option_name, set, count_options(set));
	int word_len = (int)(name + len - word);
	if (nearest >= 0)
		return options_fail(parse->error, "unknown option %.*s; did you mean --%s?",
				    word_len, word, options_at(set, nearest)->name);
	return options_fail(parse->error, "unknown option %.*s; \"%s --help\" lists the options",
			    word_len, word, set->table->command);
}

static struct place find_long(const struct option_set *set, const char *name, size_t len)
{
	struct place place = place_at(set, 0);
	for (size_t i = 1; place.option; place = place_at(set, i++))
		if (strlen(place.option->name) == len && memcmp(place.option->name, name, len) == 0)
			break;
	return place;
}

static struct place find_letter(const struct option_set *set, char letter)
{
	struct place place = place_at(set, 0);
	for (size_t i = 1; place.option; place = place_at(set, i++))
		if (letter && place.option->letter == letter)
			break;
	return place;
}

/*
 * Finds the option that @word, which begins with '-', names, and the value in the same word, or
 * NULL. Returns 0, or -EINVAL with the error set.
 */
static int parse_option(struct parse *parse, const char *word, struct place *place,
			const char **value)
{
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	size_t len = strcspn(name, "=");

	*value = NULL;
	*place = find_long(parse->set, name, len);
	if (is_long) {
		if (name[len] == '=')
			*value = name + len + 1;
	} else {
		/* -kernel would be -k with the file "ernel", surely not intended. */
		if (place->option)
			return fail_unknown(parse, word, name, len);
		*place = find_letter(parse->set, *name);
		if (name[1])
			*value = name + 1;
	}
	if (!place->option)
		return fail_unknown(parse, word, name, len);
	if (!*value || place->option->value)
		return 0;
	return options_fail(parse->error, "%s: --%s takes no value; leave it out", word,
			    place->option->name);
}

/* A flag may be repeated: no value is lost by it. */
static int check_once(struct parse *parse, const struct place *place)
{
	if (!place->option->value || place->option->id & OPTION_AGAIN ||
	    place->index >= OPTIONS_MAX)
		return 0;
	if (parse->seen[place->index])
		return options_fail(parse->error, "--%s is given twice; give it once",
				    place->option->name);
	parse->seen[place->index] = true;
	return 0;
}

/* Takes a value from the next word, if the option has one. Returns 1 if so, 0 or -EINVAL. */
static int next_value(struct parse *parse, const struct option *option, int left, char **argv,
		      const char **value)
{
	if (!option->value || *value)
		return 0;
	if (option->value_optional) {
		if (parse->set->table->words || left < 2 || !isdigit((unsigned char)argv[1][0]))
			return 0;
	} else if (left < 2) {
		return options_fail(parse->error, "%s needs a value; write %s %s", argv[0], argv[0],
				    option->value);
	}
	*value = argv[1];
	return 1;
}

static int apply_word(struct parse *parse, const char *word)
{
	if (parse->set->table->words)
		return parse->apply(parse->ctx, OPTION_WORD, word, parse->error);
	return options_fail(parse->error,
			    "\"%s\" is not an option, and %s takes only options; see \"%s --help\"",
			    word, parse->set->table->command, parse->set->table->command);
}

/* Applies the option at argv[0]. Returns the number of further words taken, or -EINVAL. */
static int apply_option(struct parse *parse, int left, char **argv, bool *help)
{
	struct place place;
	const char *value;

	int err = parse_option(parse, argv[0], &place, &value);
	if (err)
		return err;
	*help = place.option->id == OPTION_HELP;
	if (*help)
		return 0;
	int took = next_value(parse, place.option, left, argv, &value);
	if (took < 0 || check_once(parse, &place))
		return -EINVAL;
	option_apply *apply = place.apply ? place.apply : parse->apply;
	return apply(parse->ctx, place.option->id & ~OPTION_AGAIN, value, parse->error) ? -EINVAL
											: took;
}

static enum option_outcome parse_words(struct parse *parse, int argc, char **argv)
{
	bool options_ended = false;
	bool help = false;
	for (int i = 0; i < argc; i++) {
		if (options_ended || argv[i][0] != '-' || !argv[i][1]) {
			int applied = apply_word(parse, argv[i]);
			if (applied && applied != OPTIONS_END)
				return OPTIONS_ERROR;
			options_ended |= applied == OPTIONS_END;
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			options_ended = true;
			continue;
		}
		int took = apply_option(parse, argc - i, argv + i, &help);
		if (took < 0)
			return OPTIONS_ERROR;
		if (help)
			return OPTIONS_HELP;
		i += took;
	}
	return OPTIONS_DONE;
}

enum option_outcome options_parse_set(const struct option_set *set, int argc, char **argv,
				      option_apply *apply, void *ctx, struct option_error *error)
{
	struct parse parse = {.set = set, .apply = apply, .ctx = ctx, .error = error};

	for (size_t i = 0; i < set->groups; i++)
		if (set->group[i]->defaults)
			set->group[i]->defaults(ctx);
	enum option_outcome outcome = parse_words(&parse, argc, argv);
	for (size_t i = 0; i < set->groups && outcome == OPTIONS_DONE; i++)
		if (set->group[i]->check && set->group[i]->check(ctx, error))
			outcome = OPTIONS_ERROR;
	return outcome;
}

enum option_outcome options_parse(const struct option_table *table, int argc, char **argv,
				  option_apply *apply, void *ctx, struct option_error *error)
{
	const struct option_set set = {.table = table};
	return options_parse_set(&set, argc, argv, apply, ctx, error);
}

/* --- usage ----------------------------------------------------------------------------------- */

static void print_option(const struct option *option, FILE *out)
{
	char words[64];
	const char *value = option->value ? option->value : "";
	snprintf(words, sizeof(words), "%c%c%s --%s%s%s%s", option->letter ? '-' : ' ',
		 option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
		 !option->value		  ? ""
		 : option->value_optional ? "[="
					  : " ",
		 value, option->value_optional ? "]" : "");
	int used = fprintf(out, "  %s", words);
	if (used >= HELP_COLUMN) {
		fputc('\n', out);
		used = 0;
	}
	for (const char *line = option->help; line; line = strchr(line, '\n'), used = 0) {
		line += *line == '\n';
		fprintf(out, "%*s%.*s\n", HELP_COLUMN - used, "", (int)strcspn(line, "\n"), line);
	}
}

void options_usage_set(const struct option_set *set, FILE *out)
{
	const struct option_table *table = set->table;
	const struct option *option;
	bool values = false;

	fprintf(out, "Usage: %s [OPTION]...%s%s\n%s\n\n", table->command, table->words ? " " : "",
		table->words ? table->words : "", table->about);
	for (size_t i = 0; (option = options_at(set, i)); i++) {
		print_option(option, out);
		values = values || option->value;
	}
	if (values)
		fprintf(out, "\nWrite a value after its option or after \"=\".\n");
}

void options_usage(const struct option_table *table, FILE *out)
{
	const struct option_set set = {.table = table};
	options_usage_set(&set, out);
}
