// SPDX-License-Identifier: Apache-2.0
/* Where packages come from: what apt says, and the lines for another suite. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "vmm/images/sources.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* As apt prints it. */
static void take(struct sources *sources, const char *uri, const char *suite)
{
	char line[1024];
	snprintf(line, sizeof(line), "'%s/dists/%s/main/binary-amd64/Packages.xz' x 0 \n", uri,
		 suite);
	sources_take(sources, line);
}

static const struct {
	const char *suite;
	bool taken;
} suites[] = {
	{"bookworm", true},
	{"trixie-updates", true},
	{"sid", true},
	{"bookworm-security", true},
	{"bookworm-backports", false},
	{"noble", false},
	{"", false},
	{"bookworm-", false},
	{"bookwormx", false},
	{"-updates", false},
	{"bookworm-updates-x", false},
};

START_TEST(test_taken)
{
	struct sources sources = {.count = 0};
	take(&sources, "mirror://a/debian", suites[_i].suite);
	ck_assert_uint_eq(sources.count, suites[_i].taken);
	take(&sources, "mirror://a/debian", suites[_i].suite);
	ck_assert_uint_eq(sources.count, suites[_i].taken);
}
END_TEST

/* What is no such line, does not fit, or would be two words in a sources.list. */
START_TEST(test_not_taken)
{
	static const char *const lines[] = {
		"",
		"'",
		"'/dists/",
		"/dists/bookworm/main/binary-amd64/",
		"'x/dists/bookworm/InRelease' y 0",
		"'a b/dists/bookworm/main/binary-amd64/Packages' x 0",
	};
	struct sources sources = {.count = 0};
	char uri[1000];

	for (int i = 0; i < COUNT(lines); i++)
		sources_take(&sources, lines[i]);
	memset(uri, 'u', sizeof(uri));
	uri[256] = '\0';
	take(&sources, uri, "bookworm");
	ck_assert_uint_eq(sources.count, 0);
	/* The control: one byte less. */
	uri[255] = '\0';
	take(&sources, uri, "bookworm");
	ck_assert_uint_eq(sources.count, 1);
	for (int i = 0; i < 2 * SOURCES_MAX; i++) {
		snprintf(uri, sizeof(uri), "mirror://%d", i);
		take(&sources, uri, "bookworm");
	}
	ck_assert_uint_eq(sources.count, SOURCES_MAX);
}
END_TEST

START_TEST(test_lines)
{
	struct sources sources = {.count = 0};
	char line[SOURCES_MAX][SOURCES_LINE_SIZE];

	ck_assert_ptr_null(sources_own(&sources));
	ck_assert_uint_eq(sources_lines(&sources, "trixie", "", line), 0);
	take(&sources, "mirror://s", "bookworm-security");
	ck_assert_ptr_null(sources_own(&sources));
	take(&sources, "mirror://d", "bookworm");
	take(&sources, "mirror://d", "bookworm-updates");
	take(&sources, "mirror://other", "trixie");
	ck_assert_str_eq(sources_own(&sources), "bookworm");

	ck_assert_uint_eq(sources_lines(&sources, "bookworm", "", line), 3);
	ck_assert_str_eq(line[0], "deb mirror://s bookworm-security main");
	ck_assert_str_eq(line[1], "deb mirror://d bookworm main");
	/* Another suite is on the mirrors of this machine's own. */
	ck_assert_uint_eq(sources_lines(&sources, "trixie", "/k.gpg", line), 3);
	ck_assert_str_eq(line[1], "deb [signed-by=/k.gpg] mirror://d trixie main");
	ck_assert_str_eq(line[2], "deb [signed-by=/k.gpg] mirror://d trixie-updates main");
	ck_assert_uint_eq(sources_lines(&sources, "sid", "", line), 1);
	ck_assert_str_eq(line[0], "deb mirror://d sid main");
}
END_TEST

/* A machine of sid has no security updates, whose mirror another suite would need. */
START_TEST(test_no_security)
{
	struct sources sources = {.count = 0};

	take(&sources, "mirror://d", "sid");
	take(&sources, "mirror://s", "trixie-security");
	ck_assert(sources_lack_security(&sources, "bookworm"));
	ck_assert(!sources_lack_security(&sources, "sid"));
	/* The control. */
	sources.count = 0;
	take(&sources, "mirror://d", "bookworm");
	take(&sources, "mirror://d", "bookworm-updates");
	ck_assert(sources_lack_security(&sources, "bookworm"));
	take(&sources, "mirror://s", "bookworm-security");
	ck_assert(!sources_lack_security(&sources, "bookworm"));
	ck_assert(!sources_lack_security(&sources, "trixie"));
}
END_TEST

/* The longest of each fits. */
START_TEST(test_long_line)
{
	struct sources sources = {.count = 0};
	char line[SOURCES_MAX][SOURCES_LINE_SIZE], uri[256];

	memset(uri, 'u', sizeof(uri) - 1);
	uri[sizeof(uri) - 1] = '\0';
	take(&sources, uri, "bookworm");
	take(&sources, uri, "bookworm-security");
	ck_assert_uint_eq(sources_lines(&sources, "bookworm", sources_keyring(), line), 2);
	ck_assert_ptr_nonnull(strstr(line[1], " bookworm-security main"));
}
END_TEST

Suite *sources_suite(void);
Suite *sources_suite(void)
{
	Suite *suite = suite_create("sources");
	TCase *tcase = tcase_create("sources");
	tcase_add_loop_test(tcase, test_taken, 0, COUNT(suites));
	tcase_add_test(tcase, test_not_taken);
	tcase_add_test(tcase, test_lines);
	tcase_add_test(tcase, test_no_security);
	tcase_add_test(tcase, test_long_line);
	suite_add_tcase(suite, tcase);
	return suite;
}
