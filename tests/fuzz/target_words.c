// SPDX-License-Identifier: Apache-2.0
/*
 * What a person writes: the words of `ebb run`, one a line; and each of them as a size, a time, a list of
 * CPUs, a value with keys, a guest's name, and as text for a terminal.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/host.h"
#include "vmm/config/config.h"
#include "vmm/lib/cpulist.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/option_keys.h"
#include "vmm/lib/text.h"

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_key(void *ctx, int id, const char *value, struct option_error *error)
{
	unsigned int *n = ctx;

	MUST(id >= OPTION_WORD && id < 3);
	MUST(!value || strlen(value) < OPTION_PART_SIZE);
	return ++*n > 20 ? options_fail(error, "too many: %s", value ? value : "none") : 0;
}

static void keys(const char *word, struct option_error *error)
{
	static const struct option_key key[] = {
		{0, "ro", NULL, false}, {1, "format", "raw", false}, {2, "hostfwd", "RULE", true}};
	const struct option_keys keys = {"disk", "FILE", key, 3};
	unsigned int n = 0;

	option_keys_parse(&keys, word, take_key, &n, error);
}

static void is_clean(const char *text, size_t size)
{
	MUST(strnlen(text, size) < size && text_is_utf8(text));
	for (; *text; text++)
		MUST((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void word(const char *text)
{
	static struct cpulist list;
	char said[256], escaped[64];
	struct option_error error = {said, sizeof(said)};
	unsigned int ms, bits = 0;
	uint64_t bytes;

	*said = '\0';
	if (options_size("memory", text, &bytes, &error) != 0)
		is_clean(said, sizeof(said));
	if (options_seconds("time", text, &ms, &error) == 0)
		MUST(ms <= 24 * 3600 * 1000);
	if (cpulist_parse(&list, text) == 0) {
		for (unsigned int i = 0; i < CPULIST_MAX; i++)
			bits += cpulist_has(&list, i);
		MUST(bits == list.count && bits > 0);
	}
	keys(text, &error);
	is_clean(text_escape(escaped, sizeof(escaped), text, false), sizeof(escaped));
	text_width(text);
	if (!vm_name_error(text))
		MUST(!vm_name_lookup_error(text) && text_is_utf8(text) && !strchr(text, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_config config;
	char *text = malloc(size + 1), *argv[WORDS_MAX + 1];
	char error[256] = "";
	int argc = 0;

	host_reset();
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *at = text; at && argc < WORDS_MAX; argc++) {
		argv[argc] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
	}
	argv[argc] = NULL;
	if (config_parse(&config, argc, argv, error, sizeof(error)) == CONFIG_ERROR) {
		MUST(error[0]);
		is_clean(error, sizeof(error));
	}
	for (int i = 0; i < argc; i++)
		word(argv[i]);
	free(text);
	return 0;
}
