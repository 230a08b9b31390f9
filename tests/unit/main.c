// SPDX-License-Identifier: Apache-2.0
/*
 * Runs every suite of this folder. A new file test_NAME.c with `Suite *NAME_suite(void)` is found by
 * the Makefile; with arguments, only the suites named are run.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static const struct {
	const char *name;
	Suite *(*make)(void);
} suites[] = {
#define SUITE(name) {#name, name##_suite},
#include "suites.h"
#undef SUITE
};

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc == 1;
}

int main(int argc, char **argv)
{
	/* For each test. Check's own limit of 4 s is no limit on a busy machine but an accident. */
	setenv("CK_DEFAULT_TIMEOUT", "240", 0);
	SRunner *runner = srunner_create(NULL);
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (wanted(suites[i].name, argc, argv))
			srunner_add_suite(runner, suites[i].make());

	srunner_run_all(runner, CK_NORMAL);
	int ran = srunner_ntests_run(runner);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	/* A run that found nothing to run has not passed. */
	return ran == 0 || failed != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
