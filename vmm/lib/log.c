// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static void log_line(const char *prefix, const char *format, va_list args, const char *suffix)
{
	char line[LINE_MAX_BYTES];
	/* The last byte is kept for the newline, however long the rest comes out. */
	size_t room = sizeof(line) - 1;
	int used = snprintf(line, room, "ebb: %s", prefix);
	int more = vsnprintf(line + used, room - used, format, args);
	size_t length = used + (more < 0 ? 0 : more);
	if (length > room - 1)
		length = room - 1;
	more = snprintf(line + length, room - length, "%s", suffix);
	length += more;
	if (length > room - 1)
		length = room - 1;
	line[length++] = '\n';

	/* There is nobody left to tell when standard error itself fails. */
	ssize_t ignored = write(STDERR_FILENO, line, length);
	(void)ignored;
}

void log_info(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("", format, args, "");
	va_end(args);
}

void log_error(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("", format, args, "");
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	log_line("warning: ", format, args, "");
	va_end(args);
}

void log_guest(struct log_limit *limit, const char *format, ...)
{
	/* Read before it is raised: a counter that a guest raises for ever would wrap and log
	 * again. */
	if (atomic_load(&limit->lines) >= LOG_LIMIT_LINES)
		return;
	unsigned int line = atomic_fetch_add(&limit->lines, 1);
	if (line >= LOG_LIMIT_LINES)
		return;

	va_list args;
	va_start(args, format);
	log_line("guest: ", format, args,
		 line + 1 == LOG_LIMIT_LINES ? " (further lines of this kind are withheld)" : "");
	va_end(args);
}
