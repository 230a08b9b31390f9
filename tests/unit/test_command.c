// SPDX-License-Identifier: Apache-2.0
/* The message that tells the guest's agent its command. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/agent/command.h"

START_TEST(records_in_order_and_no_more_than_fit)
{
	struct command made = {0};
	const struct agent_command head = {.rows = 24, .columns = 80, .terminal = 1};
	struct agent_command got;

	command_add(&made, AGENT_ARGUMENT, "a b\n\"");
	command_add(&made, AGENT_ARGUMENT, "");
	command_add(&made, AGENT_ENVIRONMENT, "X=");
	ck_assert_int_eq(command_finish(&made, &head), 0);
	memcpy(&got, made.data, sizeof(got));
	ck_assert_uint_eq(got.magic, AGENT_MAGIC);
	ck_assert_uint_eq(got.size, made.size - sizeof(got));
	ck_assert_uint_eq(got.rows, 24);
	ck_assert_mem_eq(made.data + sizeof(got), "Aa b\n\"\0A\0EX=", 13);
	ck_assert_uint_eq(got.size, 13);
	command_release(&made);

	char *large = malloc(AGENT_RECORDS_MAX);
	memset(large, 'x', AGENT_RECORDS_MAX);
	large[AGENT_RECORDS_MAX - 1] = '\0';
	command_add(&made, AGENT_ARGUMENT, large);
	ck_assert_int_eq(command_finish(&made, &head), -E2BIG);
	command_release(&made);
	large[AGENT_RECORDS_MAX - 2] = '\0';
	command_add(&made, AGENT_ARGUMENT, large);
	ck_assert_int_eq(command_finish(&made, &head), 0);
	command_release(&made);
	free(large);
}
END_TEST

Suite *command_suite(void);
Suite *command_suite(void)
{
	Suite *suite = suite_create("command");
	TCase *tc = tcase_create("message");

	tcase_add_test(tc, records_in_order_and_no_more_than_fit);
	suite_add_tcase(suite, tc);
	return suite;
}
