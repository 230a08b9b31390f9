// SPDX-License-Identifier: Apache-2.0
/* What `ebb run` does not have: tests/unit/test_config*.c have the rest. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/option_keys.h"

#define WORDS_MAX    6
#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

enum { ALPHA, NMI, QUIET };

static const struct option options[] = {
	{ALPHA | OPTION_AGAIN, 'a', "alpha", "VALUE", "the first\nof all", false},
	{NMI, 'm', "nmi", "CPU", "one that may be left out", true},
	{QUIET, 0, "quiet-and-with-a-long-name-to-tell", NULL, "far to the right", false},
	OPTION_HELP_LINE,
};

static const struct option_table wordless = {"ebb try", NULL, "Tries.", options, 4};
static const struct option_table wordy = {"ebb try", "[NAME]", "Tries.", options, 4};

static char said[256];
static char done[256];

/* Notes what it is told: "0=x 1= -1=y". */
static int note(void *ctx, int id, const char *value, struct option_error *error)
{
	(void)ctx;
	size_t used = strlen(done);
	snprintf(done + used, sizeof(done) - used, "%s%d=%s", used ? " " : "", id,
		 value ? value : "(null)");
	if (value && strcmp(value, "bad") == 0)
		return options_fail(error, "it is %s", value);
	return 0;
}

static enum option_outcome parse(const struct option_table *table, const char *const *words)
{
	char *argv[WORDS_MAX + 1];
	struct option_error error = {said, sizeof(said)};
	int argc = 0;
	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc];
	said[0] = done[0] = '\0';
	return options_parse(table, argc, argv, note, NULL, &error);
}

static const struct {
	const struct option_table *table;
	const char *words[WORDS_MAX + 1];
	enum option_outcome outcome;
	const char *done;
	const char *says;
} cases[] = {
	{&wordless, {NULL}, OPTIONS_DONE, "", ""},
	{&wordless, {"-a", "x", "--alpha=y", "-az"}, OPTIONS_DONE, "0=x 0=y 0=z", ""},
	{&wordless, {"-a", "--quiet"}, OPTIONS_DONE, "0=--quiet", ""},
	{&wordless, {"--nmi"}, OPTIONS_DONE, "1=(null)", ""},
	{&wordless, {"--nmi=3"}, OPTIONS_DONE, "1=3", ""},
	{&wordless,
	 {"--nmi", "--nmi=3"},
	 OPTIONS_ERROR,
	 "1=(null)",
	 "--nmi is given twice; give it once"},
	{&wordless,
	 {"--quiet-and-with-a-long-name-to-tell", "--quiet-and-with-a-long-name-to-tell"},
	 OPTIONS_DONE,
	 "2=(null) 2=(null)",
	 ""},
	{&wordless, {"--nmi="}, OPTIONS_DONE, "1=", ""},
	{&wordless, {"-m3"}, OPTIONS_DONE, "1=3", ""},
	{&wordless, {"-m", "3", "-a", "x"}, OPTIONS_DONE, "1=3 0=x", ""},
	{&wordless, {"-m", "-a", "x"}, OPTIONS_DONE, "1=(null) 0=x", ""},
	{&wordy, {"-m", "3"}, OPTIONS_DONE, "1=(null) -1=3", ""},
	{&wordy, {"a", "--", "-m"}, OPTIONS_DONE, "-1=a -1=-m", ""},
	{&wordy, {"-"}, OPTIONS_DONE, "-1=-", ""},
	{&wordless, {"-a", "x", "-h", "-z"}, OPTIONS_HELP, "0=x", ""},
	{&wordless,
	 {"-m", "x"},
	 OPTIONS_ERROR,
	 "1=(null)",
	 "\"x\" is not an option, and ebb try takes only options"},
	{&wordless, {"--", "-m"}, OPTIONS_ERROR, "", "\"-m\" is not an option"},
	{&wordless, {"-"}, OPTIONS_ERROR, "", "\"-\" is not an option"},
	{&wordless, {""}, OPTIONS_ERROR, "", "\"\" is not an option"},
	{&wordless, {"-a"}, OPTIONS_ERROR, "", "-a needs a value; write -a VALUE"},
	{&wordless,
	 {"--alhpa"},
	 OPTIONS_ERROR,
	 "",
	 "unknown option --alhpa; did you mean --alpha?"},
	{&wordless, {"-z"}, OPTIONS_ERROR, "", "unknown option -z; \"ebb try --help\" lists"},
	{&wordless, {"-a", "bad", "-z"}, OPTIONS_ERROR, "0=bad", "it is bad"},
	{&wordless, {"x\033[2J\n"}, OPTIONS_ERROR, "", "\"x\\x1b[2J\\x0a\" is not an option"},
};

START_TEST(test_words)
{
	ck_assert_int_eq(parse(cases[_i].table, cases[_i].words), cases[_i].outcome);
	ck_assert_str_eq(done, cases[_i].done);
	ck_assert_msg(strncmp(said, cases[_i].says, strlen(cases[_i].says)) == 0,
		      "\"%s\" is not \"%s\"", said, cases[_i].says);
	ck_assert_int_eq(*said == '\0', *cases[_i].says == '\0');
}
END_TEST

START_TEST(test_usage)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	options_usage(&wordy, out);
	options_usage(&wordless, out);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "Usage: ebb try [OPTION]... [NAME]\nTries.\n\n"));
	ck_assert_ptr_nonnull(strstr(text, "Usage: ebb try [OPTION]...\n"));
	ck_assert_ptr_nonnull(strstr(text, "  -a, --alpha VALUE           the first\n"
					   "                              of all\n"));
	ck_assert_ptr_nonnull(strstr(text, "  -m, --nmi[=CPU] "));
	/* Too long for the column: what it does comes on the next line. */
	ck_assert_ptr_nonnull(strstr(text, "--quiet-and-with-a-long-name-to-tell\n"
					   "                              far to the right\n"));
	free(text);
}
END_TEST

/* --- parts of a command --- */

enum { BETA };

static const struct option betas[] = {{BETA, 'b', "beta", "VALUE", "another's", false}};

static void beta_defaults(void *ctx)
{
	*(const char **)ctx = "nothing";
}

static int beta_apply(void *ctx, int id, const char *value, struct option_error *error)
{
	(void)error;
	ck_assert_int_eq(id, BETA);
	*(const char **)ctx = value;
	return 0;
}

static int beta_check(void *ctx, struct option_error *error)
{
	return strcmp(*(const char **)ctx, "wrong") == 0 ? options_fail(error, "beta is wrong") : 0;
}

static const struct option_group beta = {betas, 1, beta_apply, beta_defaults, beta_check};
static const struct option_group *const groups[] = {&beta};
static const struct option_set set = {&wordless, groups, 1};

static const struct {
	const char *words[WORDS_MAX + 1];
	enum option_outcome outcome;
	const char *beta, *done, *says;
} parts[] = {
	{{NULL}, OPTIONS_DONE, "nothing", "", ""},
	{{"-a", "x", "--beta=y"}, OPTIONS_DONE, "y", "0=x", ""},
	{{"-by", "--nmi"}, OPTIONS_DONE, "y", "1=(null)", ""},
	{{"-by", "--beta", "z"}, OPTIONS_ERROR, "y", "", "--beta is given twice"},
	{{"-b", "wrong"}, OPTIONS_ERROR, "wrong", "", "beta is wrong"},
	{{"-b", "wrong", "-h"}, OPTIONS_HELP, "wrong", "", ""},
	{{"--betta=1"},
	 OPTIONS_ERROR,
	 "nothing",
	 "",
	 "unknown option --betta; did you mean --beta?"},
	{{"--alhpa=1"},
	 OPTIONS_ERROR,
	 "nothing",
	 "",
	 "unknown option --alhpa; did you mean --alpha?"},
};

/* Each part sees to its own options, the table to its. */
START_TEST(test_parts)
{
	const char *value = NULL;
	char *argv[WORDS_MAX + 1];
	struct option_error error = {said, sizeof(said)};
	int argc = 0;
	for (; parts[_i].words[argc]; argc++)
		argv[argc] = (char *)parts[_i].words[argc];
	said[0] = done[0] = '\0';
	ck_assert_int_eq(options_parse_set(&set, argc, argv, note, &value, &error),
			 parts[_i].outcome);
	ck_assert_str_eq(value, parts[_i].beta);
	ck_assert_str_eq(done, parts[_i].done);
	ck_assert_msg(strncmp(said, parts[_i].says, strlen(parts[_i].says)) == 0, "\"%s\"", said);
}
END_TEST

START_TEST(test_walk)
{
	static const char *const names[] = {"beta", "alpha", "nmi",
					    "quiet-and-with-a-long-name-to-tell", "help"};
	for (int i = 0; i < COUNT(names); i++)
		ck_assert_str_eq(options_at(&set, i)->name, names[i]);
	ck_assert_ptr_null(options_at(&set, COUNT(names)));
	ck_assert_ptr_null(options_at(&set, 1000));
}
END_TEST

/* --- a value with parts --- */

enum { MODE, RO, PORT, OLD };

static const struct option_key keys[] = {{MODE, "mode", "user", false},
					 {RO, "ro", NULL, false},
					 {PORT, "port", "N", true},
					 {OLD | OPTION_UNLISTED, "old", "N", false}};
static const struct option_keys with_file = {"share", "DIR", keys, 4};
static const struct option_keys keys_only = {"network", NULL, keys, 4};

static const struct {
	const struct option_keys *keys;
	const char *text, *done, *says;
} values[] = {
	{&with_file, "a", "-1=a", ""},
	{&with_file, "", "-1=", ""},
	{&with_file, "a,ro,mode=x", "-1=a 1=(null) 0=x", ""},
	{&with_file, "mode=a", "-1=mode=a", ""},
	{&with_file, "a,,b", "-1=a,b", ""},
	{&with_file, ",,,,a,,,ro", "-1=,,a, 1=(null)", ""},
	{&with_file, "a,mode=x,,y=z,ro", "-1=a 0=x,y=z 1=(null)", ""},
	{&with_file, "a,mode=", "-1=a 0=", ""},
	{&keys_only, "mode=user,ro", "0=user 1=(null)", ""},
	{&keys_only, "ro", "1=(null)", ""},
	{&keys_only, "", "",
	 "unknown key \"\" of the network; the keys are mode=user, ro, port=N;"},
	{&keys_only, "user", "",
	 "unknown key \"user\" of the network; the keys are mode=user, ro, port=N;"},
	{&with_file, "a,port=1,ro,port=2", "-1=a 2=1 1=(null) 2=2", ""},
	{&keys_only, "mdoe=user", "", "unknown key \"mdoe\" of the network; did you mean mode?"},
	{&with_file, "a,", "-1=a", "unknown key \"\" of the share"},
	{&with_file, "a,,", "-1=a,", ""},
	{&with_file, "a,ro,,", "-1=a", "unknown key \"ro,\" of the share"},
	{&with_file, "a,ro,b", "-1=a 1=(null)", "unknown key \"b\" of the share"},
	{&with_file, "a,ro=1", "-1=a", "\"ro\" of the share takes no value; write ro"},
	{&with_file, "a,mode", "-1=a", "\"mode\" of the share needs a value; write mode=user"},
	{&with_file, "a,ro,ro", "-1=a 1=(null)", "\"ro\" of the share is given twice"},
	/* Known, but neither listed (above) nor suggested. */
	{&keys_only, "old=7", "3=7", ""},
	{&keys_only, "olf=7", "", "unknown key \"olf\" of the network; the keys are mode=user,"},
	{&with_file, "bad,ro", "-1=bad", "it is bad"},
	{&with_file, "a,\033=\n", "-1=a", "unknown key \"\\x1b\" of the share"},
};

START_TEST(test_keys)
{
	struct option_error error = {said, sizeof(said)};
	said[0] = done[0] = '\0';
	int err = option_keys_parse(values[_i].keys, values[_i].text, note, NULL, &error);
	ck_assert_str_eq(done, values[_i].done);
	ck_assert_msg(strncmp(said, values[_i].says, strlen(values[_i].says)) == 0, "\"%s\"", said);
	ck_assert_int_eq(err == 0, *values[_i].says == '\0');
}
END_TEST

static int measure(void *ctx, int id, const char *value, struct option_error *error)
{
	(void)id, (void)error;
	*(size_t *)ctx = strlen(value);
	return 0;
}

START_TEST(test_long_part)
{
	static char text[2 * OPTION_PART_SIZE + 2];
	struct option_error error = {said, sizeof(said)};
	size_t length = 0;
	memset(text, ',', 2 * (OPTION_PART_SIZE - 1));
	ck_assert_int_eq(option_keys_parse(&with_file, text, measure, &length, &error), 0);
	ck_assert_uint_eq(length, OPTION_PART_SIZE - 1);
	memset(text, ',', 2 * OPTION_PART_SIZE);
	ck_assert_int_ne(option_keys_parse(&with_file, text, measure, &length, &error), 0);
	ck_assert_ptr_nonnull(strstr(said, "share"));
	ck_assert_ptr_nonnull(strstr(said, "too long"));
}
END_TEST

static const struct {
	const char *text;
	int err;
	unsigned int milliseconds;
} times[] = {
	{"0", 0, 0},
	{"2", 0, 2000},
	{"0.5", 0, 500},
	{"1.0015", 0, 1001},
	{"86400", 0, 86400000},
	{"86401", -EINVAL, 0},
	{"", -EINVAL, 0},
	{"-1", -EINVAL, 0},
	{".5", -EINVAL, 0},
	{"1s", -EINVAL, 0},
	{"1.x", -EINVAL, 0},
	{"1e3", -EINVAL, 0},
	{"99999999999999999999", -EINVAL, 0},
};

START_TEST(test_seconds)
{
	unsigned int milliseconds = 0;
	struct option_error error = {said, sizeof(said)};
	int err = options_seconds("--wait", times[_i].text, &milliseconds, &error);
	ck_assert_int_eq(err, times[_i].err);
	if (err)
		ck_assert_ptr_nonnull(strstr(said, "--wait"));
	else
		ck_assert_uint_eq(milliseconds, times[_i].milliseconds);
}
END_TEST

Suite *options_suite(void);
Suite *options_suite(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = tcase_create("options");
	tcase_add_loop_test(tcase, test_words, 0, COUNT(cases));
	tcase_add_test(tcase, test_usage);
	tcase_add_loop_test(tcase, test_parts, 0, COUNT(parts));
	tcase_add_test(tcase, test_walk);
	tcase_add_loop_test(tcase, test_keys, 0, COUNT(values));
	tcase_add_test(tcase, test_long_part);
	tcase_add_loop_test(tcase, test_seconds, 0, COUNT(times));
	suite_add_tcase(suite, tcase);
	return suite;
}
