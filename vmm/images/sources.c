// SPDX-License-Identifier: Apache-2.0
#include "vmm/images/sources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/log.h"

#define LINES_MAX 10000 /* of apt */

/* Those whose systemd takes a key for root (252). */
const char sources_suites[] = "bookworm, trixie, forky, sid, stable, testing or unstable";

static const struct suite {
	const char *name;
	bool rolls; /* there are no updates of it beside it */
} suites[] = {
	{"bookworm", false}, {"trixie", false},	 {"forky", false},   {"sid", true},
	{"stable", false},   {"testing", false}, {"unstable", true},
};

static const char *const belongs[] = {"", "-updates", "-security"};

static const struct suite *find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (strlen(suites[i].name) == len && strncmp(suites[i].name, name, len) == 0)
			return &suites[i];
	return NULL;
}

bool sources_knows(const char *suite)
{
	return find(suite, strlen(suite)) != NULL;
}

/* Whether @name is a suite, or one that belongs to it. */
static bool is_of_debian(const char *name)
{
	size_t len = strcspn(name, "-");

	for (size_t i = 0; i < sizeof(belongs) / sizeof(belongs[0]); i++)
		if (strcmp(name + len, belongs[i]) == 0)
			return find(name, len) != NULL;
	return false;
}

static bool has(const struct sources *sources, const struct source *wanted)
{
	for (unsigned int i = 0; i < sources->count; i++)
		if (strcmp(sources->source[i].uri, wanted->uri) == 0 &&
		    strcmp(sources->source[i].suite, wanted->suite) == 0)
			return true;
	return false;
}

/* "'URI/dists/SUITE/main/binary-ARCH/Packages…' FILE SIZE" */
void sources_take(struct sources *sources, const char *line)
{
	struct source source;
	const char *dists = strstr(line, "/dists/");
	const char *suite = dists ? dists + strlen("/dists/") : NULL;
	const char *main = suite ? strstr(suite, "/main/binary-") : NULL;

	if (!main || *line != '\'' || sources->count == SOURCES_MAX)
		return;
	size_t uri_len = (size_t)(dists - line - 1), suite_len = (size_t)(main - suite);
	if (uri_len >= sizeof(source.uri) || suite_len >= sizeof(source.suite))
		return;
	snprintf(source.uri, sizeof(source.uri), "%.*s", (int)uri_len, line + 1);
	snprintf(source.suite, sizeof(source.suite), "%.*s", (int)suite_len, suite);
	if (is_of_debian(source.suite) && !strpbrk(source.uri, " \t") && !has(sources, &source))
		sources->source[sources->count++] = source;
}

const char *sources_own(const struct sources *sources)
{
	for (unsigned int i = 0; i < sources->count; i++)
		if (!strchr(sources->source[i].suite, '-'))
			return sources->source[i].suite;
	return NULL;
}

/* What follows the name of @suite in that of @source, which belongs to it: "" or "-security"; else NULL. */
static const char *rest_of(const struct source *source, const char *suite)
{
	size_t len = strlen(suite);
	bool belongs_to =
		strcspn(source->suite, "-") == len && strncmp(source->suite, suite, len) == 0;

	return belongs_to ? source->suite + len : NULL;
}

unsigned int sources_lines(const struct sources *sources, const char *suite, const char *keyring,
			   char line[SOURCES_MAX][SOURCES_LINE_SIZE])
{
	const char *own = sources_own(sources);
	const struct suite *wanted = find(suite, strlen(suite));
	unsigned int count = 0;

	for (unsigned int i = 0; own && i < sources->count; i++) {
		const struct source *source = &sources->source[i];
		const char *rest = rest_of(source, own);
		if (rest && !(*rest && wanted && wanted->rolls))
			snprintf(line[count++], SOURCES_LINE_SIZE, "deb %s%s%s%s %s%s main",
				 *keyring ? "[signed-by=" : "", keyring, *keyring ? "] " : "",
				 source->uri, suite, rest);
	}
	return count;
}

bool sources_lack_security(const struct sources *sources, const char *suite)
{
	const char *own = sources_own(sources);
	const struct suite *wanted = find(suite, strlen(suite));
	bool named = false;

	for (unsigned int i = 0; own && i < sources->count; i++) {
		const char *rest = rest_of(&sources->source[i], own);
		named |= rest && strcmp(rest, "-security") == 0;
	}
	return wanted && !wanted->rolls && !named;
}

int sources_read(struct sources *sources)
{
	char line[1024];

	*sources = (struct sources){.count = 0};
	FILE *apt = popen("exec apt-get update --print-uris 2>/dev/null", "re");
	for (unsigned int i = 0; apt && i < LINES_MAX && fgets(line, sizeof(line), apt); i++)
		sources_take(sources, line);
	if (apt)
		pclose(apt);
	if (sources_own(sources))
		return 0;
	log_error("apt on this machine has no suite of Debian, to make an image from");
	return -ENOENT;
}

const char *sources_keyring(void)
{
	static const char *const files[] = {"/usr/share/keyrings/debian-archive-keyring.gpg",
					    "/usr/share/keyrings/debian-archive-keyring.pgp"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "";
}
