// SPDX-License-Identifier: Apache-2.0
/*
 * One table of options, from which words are understood and the usage text is made. Not
 * getopt_long(): it prints its own messages and takes any unambiguous beginning of an option.
 */
#include "vmm/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MIB	   (UINT64_C(1) << 20)
#define MEMORY_MIN (16 * MIB)
#define CPUS_MAX   4096 /* KVM's own limit is lower on most machines, and known only there */

enum option_id {
	OPTION_KERNEL,
	OPTION_INITRD,
	OPTION_PARAMS,
	OPTION_MEM,
	OPTION_CPUS,
	OPTION_NAME,
	OPTION_BALLOON,
	OPTION_FREE_PAGE_REPORTING,
	OPTION_CONSOLE,
	OPTION_DEBUG,
	OPTION_HELP,
};

static const struct option {
	enum option_id id;
	char letter; /* or 0 */
	const char *name;
	const char *value; /* what the value is called, or NULL for an option without one */
	const char *help;
} options[] = {
	{OPTION_KERNEL, 'k', "kernel", "FILE", "the guest's kernel: a vmlinux or a bzImage"},
	{OPTION_INITRD, 'i', "initrd", "FILE", "the guest's initial RAM disk"},
	{OPTION_PARAMS, 'p', "params", "STRING", "more parameters for the guest's kernel"},
	{OPTION_MEM, 'm', "mem", "SIZE",
	 "the guest's memory: a number and one of\n"
	 "B K M G T P, alone MiB [64M * (CPUs + 3)]"},
	{OPTION_CPUS, 'c', "cpus", "N", "the guest's CPUs [1]"},
	{OPTION_NAME, 0, "name", "NAME", "the guest's name on this machine [guest-PID]"},
	{OPTION_BALLOON, 0, "balloon", NULL, "give the guest a memory balloon"},
	{OPTION_FREE_PAGE_REPORTING, 0, "free-page-reporting", NULL,
	 "take memory back as the guest frees it\n(implies --balloon)"},
	{OPTION_CONSOLE, 0, "console", "KIND", "the guest's console: serial [serial]"},
	{OPTION_DEBUG, 0, "debug", NULL, "say what is being done"},
	{OPTION_HELP, 'h', "help", NULL, "this text"},
};

#define OPTIONS		(sizeof(options) / sizeof(options[0]))
#define OPTION_NAME_MAX 32
#define SEE_HELP	"\"ebb run --help\" lists the options"

struct parse {
	struct vm_config *config;
	char *error;
	unsigned int error_size;
};

/* Says what is wrong; always -EINVAL, so that a caller can return it. */
__attribute__((format(printf, 2, 3))) static int fail(struct parse *parse, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(parse->error, parse->error_size, format, args);
	va_end(args);

	/* One line, whatever was in the words that it repeats. */
	for (unsigned int i = 0; i < parse->error_size && parse->error[i]; i++)
		if (iscntrl((unsigned char)parse->error[i]))
			parse->error[i] = '?';
	return -EINVAL;
}

/* --- values ---------------------------------------------------------------------------------- */

/* Digits only, unlike strtoull() itself. Returns 0, -EINVAL or -ERANGE. */
static int parse_number(const char *text, uint64_t *number, const char **rest)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	*rest = end;
	return errno ? -ERANGE : 0;
}

/* kvmtool's suffixes, either case; none is MiB. Returns 0, -EINVAL or -ERANGE. */
static int parse_size(const char *text, uint64_t *bytes)
{
	static const struct {
		char suffix;
		unsigned int shift;
	} units[] = {{'\0', 20}, {'B', 0}, {'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}, {'P', 50}};

	uint64_t number;
	const char *rest;
	int err = parse_number(text, &number, &rest);
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

static int set_memory(struct parse *parse, const char *text)
{
	uint64_t bytes = 0;
	int err = parse_size(text, &bytes);
	if (err == -ERANGE)
		return fail(parse,
			    "memory \"%s\" is more than can be counted; "
			    "write a size such as 512M or 2G",
			    text);
	if (err)
		return fail(parse,
			    "memory \"%s\" is not a size; write a number and one of "
			    "B K M G T P, such as 512M or 2G",
			    text);
	if (bytes < MEMORY_MIN)
		return fail(parse, "memory \"%s\" is too little; a guest needs 16M or more", text);
	if (bytes % MIB)
		return fail(parse, "memory \"%s\" is not a whole number of MiB; write %lluM", text,
			    (unsigned long long)(bytes / MIB + 1));
	parse->config->memory = bytes;
	return 0;
}

static int set_cpus(struct parse *parse, const char *text)
{
	uint64_t number = 0;
	const char *rest = "";
	int err = parse_number(text, &number, &rest);
	if (err == -EINVAL || *rest || (!err && number == 0))
		return fail(parse, "\"%s\" is not a number of CPUs; write 1 or more", text);
	if (err || number > CPUS_MAX)
		return fail(parse, "%s CPUs are too many; write %d or fewer", text, CPUS_MAX);
	parse->config->cpus = number;
	return 0;
}

const char *vm_name_error(const char *name)
{
	if (!*name)
		return "is empty";
	if (strlen(name) > VM_NAME_MAX)
		return "is too long";
	if (strchr(name, '/'))
		return "has a slash in it";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return "means a directory";
	for (; *name; name++)
		if (iscntrl((unsigned char)*name))
			return "has a control character in it";
	return NULL;
}

static int set_name(struct parse *parse, const char *text)
{
	const char *wrong = vm_name_error(text);
	if (wrong)
		return fail(parse, "the name \"%s\" %s; write 1 to %d characters, no slash", text,
			    wrong, VM_NAME_MAX);
	parse->config->name = text;
	return 0;
}

static int set_file(struct parse *parse, const char **file, const char *what, const char *text)
{
	if (!*text)
		return fail(parse, "the %s's file name is empty; name the file", what);
	*file = text;
	return 0;
}

static int set_kernel(struct parse *parse, const char *text)
{
	if (parse->config->kernel)
		return fail(parse, "two kernels: \"%s\" and \"%s\"; name one",
			    parse->config->kernel, text);
	return set_file(parse, &parse->config->kernel, "kernel", text);
}

static int set_console(struct parse *parse, const char *text)
{
	if (strcmp(text, "serial") != 0)
		return fail(parse, "unknown console \"%s\"; there is only \"serial\"", text);
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

static int apply(struct parse *parse, const struct option *option, const char *value)
{
	struct vm_config *config = parse->config;
	switch (option->id) {
	case OPTION_KERNEL:
		return set_kernel(parse, value);
	case OPTION_INITRD:
		return set_file(parse, &config->initrd, "initrd", value);
	case OPTION_PARAMS:
		config->params = value;
		return 0;
	case OPTION_MEM:
		return set_memory(parse, value);
	case OPTION_CPUS:
		return set_cpus(parse, value);
	case OPTION_NAME:
		return set_name(parse, value);
	case OPTION_CONSOLE:
		return set_console(parse, value);
	case OPTION_FREE_PAGE_REPORTING:
		config->free_page_reporting = true;
		config->balloon = true;
		return 0;
	case OPTION_BALLOON:
		config->balloon = true;
		return 0;
	case OPTION_DEBUG:
		config->debug = true;
		return 0;
	case OPTION_HELP:
		break; /* config_parse() has seen to it */
	}
	return 0;
}

/* Insertions, deletions and changes of one character that make one word of the other. */
static unsigned int edit_distance(const char *a, size_t a_len, const char *b)
{
	size_t b_len = strlen(b);
	unsigned int
		row[OPTION_NAME_MAX + 1]; /* row[j]: from a's first i to b's first j characters */
	if (b_len > OPTION_NAME_MAX)
		return OPTION_NAME_MAX;
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

/* The option that was probably meant; NULL when none is near. */
static const struct option *nearest_option(const char *word, size_t len)
{
	const struct option *nearest = NULL;
	unsigned int nearest_distance = len / 3 < 2 ? 2 : len / 3;
	if (len < 3 || len > OPTION_NAME_MAX)
		return NULL;
	for (size_t i = 0; i < OPTIONS; i++) {
		size_t common = strlen(options[i].name);
		common = common < len ? common : len;
		unsigned int distance = edit_distance(word, len, options[i].name);
		/* --memory and --free-page-report are far in characters, but clear. */
		if (strncmp(word, options[i].name, common) == 0)
			distance = 1;
		if (distance <= nearest_distance && (!nearest || distance < nearest_distance)) {
			nearest = &options[i];
			nearest_distance = distance;
		}
	}
	return nearest;
}

static int fail_unknown(struct parse *parse, const char *word, const char *name, size_t len)
{
	const struct option *nearest = nearest_option(name, len);
	int word_len = name + len - word;
	if (nearest)
		return fail(parse, "unknown option %.*s; did you mean --%s?", word_len, word,
			    nearest->name);
	return fail(parse, "unknown option %.*s; " SEE_HELP, word_len, word);
}

static const struct option *find_long(const char *name, size_t len)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static const struct option *find_letter(char letter)
{
	for (size_t i = 0; i < OPTIONS; i++)
		if (options[i].letter == letter)
			return &options[i];
	return NULL;
}

/*
 * Which option @word (one that begins with '-') is, and the value in the same word: NULL for none.
 * Returns 0 or -EINVAL having said what is wrong.
 */
static int parse_option(struct parse *parse, const char *word, const struct option **option,
			const char **value)
{
	bool is_long = word[1] == '-';
	const char *name = word + (is_long ? 2 : 1);
	size_t len = strcspn(name, "=");

	*value = NULL;
	if (is_long) {
		*option = find_long(name, len);
		if (name[len] == '=')
			*value = name + len + 1;
	} else {
		/* -kernel would be -k with the file "ernel", which nobody means. */
		*option = find_long(name, len) ? NULL : find_letter(*name);
		if (name[1])
			*value = name + 1;
	}
	if (!*option)
		return fail_unknown(parse, word, name, len);
	if (!*value || (*option)->value)
		return 0;
	if ((*option)->id == OPTION_BALLOON)
		return fail(parse, "%s: a balloon cannot be given a size yet; write --balloon",
			    word);
	return fail(parse, "%s: --%s takes no value; leave it away", word, (*option)->name);
}

/* Returns CONFIG_RUN as long as nothing speaks against it. */
static enum config_outcome parse_words(struct parse *parse, int argc, char **argv)
{
	bool options_ended = false;
	for (int i = 0; i < argc; i++) {
		const struct option *option = NULL;
		const char *value = NULL;
		if (options_ended || argv[i][0] != '-' || !argv[i][1]) {
			if (set_kernel(parse, argv[i]))
				return CONFIG_ERROR;
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			options_ended = true;
			continue;
		}
		if (parse_option(parse, argv[i], &option, &value))
			return CONFIG_ERROR;
		if (option->id == OPTION_HELP)
			return CONFIG_HELP;
		if (option->value && !value) {
			if (i + 1 == argc) {
				fail(parse, "%s needs a value; write %s %s", argv[i], argv[i],
				     option->value);
				return CONFIG_ERROR;
			}
			value = argv[++i];
		}
		if (apply(parse, option, value))
			return CONFIG_ERROR;
	}
	return CONFIG_RUN;
}

enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size)
{
	struct parse parse = {config, error, error_size};
	*config = (struct vm_config){.params = "", .cpus = 1};

	enum config_outcome outcome = parse_words(&parse, argc, argv);
	if (outcome != CONFIG_RUN)
		return outcome;
	if (!config->kernel) {
		fail(&parse, "no kernel given; name a vmlinux or a bzImage with -k FILE");
		return CONFIG_ERROR;
	}
	if (!config->memory)
		config->memory = 64 * MIB * (config->cpus + 3);
	return CONFIG_RUN;
}

void config_usage(FILE *out)
{
	fprintf(out, "Usage: ebb run [OPTION]... [KERNEL]\n"
		     "Runs a Linux guest with its console here; Ctrl-A x ends it.\n\n");
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option *option = &options[i];
		char words[64];
		snprintf(words, sizeof(words), "%c%c%s --%s %s", option->letter ? '-' : ' ',
			 option->letter ? option->letter : ' ', option->letter ? "," : " ",
			 option->name, option->value ? option->value : "");
		for (const char *line = option->help; line; line = strchr(line, '\n')) {
			line += *line == '\n';
			fprintf(out, "  %-28s%.*s\n", line == option->help ? words : "",
				(int)strcspn(line, "\n"), line);
		}
	}
	fprintf(out, "\nA value follows its option or \"=\". "
		     "An option given twice counts as given last.\n");
}
