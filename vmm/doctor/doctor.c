// SPDX-License-Identifier: Apache-2.0
#include "vmm/doctor/doctor.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/options.h"
#include "vmm/lib/own_cgroup.h"

void finding_add(struct findings *findings, enum finding_level level, const char *about,
		 const char *means, const char *change, const char *what, ...)
{
	if (findings->count == FINDINGS_MAX)
		return;
	struct finding *finding = &findings->finding[findings->count++];
	*finding =
		(struct finding){.level = level, .about = about, .means = means, .change = change};
	va_list args;
	va_start(args, what);
	vsnprintf(finding->what, sizeof(finding->what), what, args);
	va_end(args);
}

bool doctor_read(const struct doctor_host *host, const char *path, char *text, size_t size)
{
	char whole[PATH_MAX];
	*text = '\0';
	if ((size_t)snprintf(whole, sizeof(whole), "%s%s", host->root, path) >= sizeof(whole))
		return false;
	int fd = open(whole, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	size_t used = 0;
	ssize_t got = 0;
	while (used < size - 1 && (got = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	text[used] = '\0';
	if (used && text[used - 1] == '\n')
		text[used - 1] = '\0';
	return got >= 0;
}

bool doctor_number(const struct doctor_host *host, const char *path, uint64_t *number)
{
	char text[32];
	return doctor_read(host, path, text, sizeof(text)) &&
	       options_number(text, number, NULL) == 0;
}

bool doctor_chosen(const struct doctor_host *host, const char *path, char *word)
{
	char text[256];
	if (!doctor_read(host, path, text, sizeof(text)))
		return false;
	const char *chosen = strchr(text, '[');
	return chosen && sscanf(chosen, "[%31[^]]]", word) == 1;
}

bool doctor_own_cgroup(const struct doctor_host *host, char *path, size_t size)
{
	char text[DOCTOR_FILE_MAX];
	if (!doctor_read(host, "/proc/self/cgroup", text, sizeof(text)))
		return false;
	const char *own = own_cgroup(text);
	if (!own)
		return false;
	snprintf(path, size, DOCTOR_CGROUPS "%s", own);
	return true;
}

bool doctor_line(const char *text, const char *key, int base, uint64_t *number)
{
	size_t len = strlen(key);
	while (text && (strncmp(text, key, len) != 0 || text[len] != ':')) {
		text = strchr(text, '\n');
		text += text ? 1 : 0;
	}
	if (!text)
		return false;
	char *end;
	*number = strtoull(text + len + 1, &end, base);
	return end != text + len + 1;
}

void doctor_look(struct findings *findings, const struct doctor_host *host)
{
	findings->count = 0;
	doctor_kvm(findings, host);
	doctor_memory(findings, host);
	doctor_huge(findings, host);
	doctor_isolation(findings, host);
	doctor_process(findings, host);
}
