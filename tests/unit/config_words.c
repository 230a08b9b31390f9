// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/config_words.h"

#include <check.h>
#include <string.h>

char config_error[256];

enum config_outcome config_words(struct vm_config *config, const char *const *words)
{
	char *argv[WORDS_MAX + 1];
	int argc = 0;
	for (; words[argc]; argc++)
		argv[argc] = (char *)words[argc];
	argv[argc] = NULL;
	config_error[0] = '\0';
	return config_parse(config, argc, argv, config_error, sizeof(config_error));
}

void config_mistaken(const struct config_mistake *mistake)
{
	struct vm_config config;
	ck_assert_int_eq(config_words(&config, mistake->words), CONFIG_ERROR);
	for (int i = 0; i < COUNT(mistake->says) && mistake->says[i]; i++)
		ck_assert_msg(strstr(config_error, mistake->says[i]), "\"%s\" lacks \"%s\"",
			      config_error, mistake->says[i]);
	ck_assert_ptr_null(strchr(config_error, '\n'));
}
