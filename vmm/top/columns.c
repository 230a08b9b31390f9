// SPDX-License-Identifier: Apache-2.0
#include "vmm/top/columns.h"

#include <stdio.h>

/* In the order in which they find room on a narrow screen. */
const struct top_column_row top_columns[TOP_COLUMNS] = {
	[TOP_NAME] = {"NAME", "name", TOP_TEXT, 4},
	[TOP_STATUS] = {"STATUS", "status", TOP_TEXT, 9},
	[TOP_SIZE] = {"SIZE", "size", TOP_BYTES, 6},
	[TOP_USED] = {"USED", "used", TOP_BYTES, 6},
	[TOP_HELD] = {"HELD", "held", TOP_BYTES, 6},
	[TOP_EXCESS] = {"EXCESS", "excess", TOP_BYTES, 6},
	[TOP_REPORTED] = {"REP/S", "reported-per-second", TOP_BYTES, 6},
	[TOP_BALLOON] = {"BALL", "balloon", TOP_BYTES, 6},
	[TOP_PSI] = {"PSI%", "psi-percent", TOP_PERCENT, 6},
	[TOP_CPU] = {"CPU%", "cpu-percent", TOP_PERCENT, 6},
	[TOP_DISK] = {"DISK/S", "disk-per-second", TOP_BYTES, 6},
	[TOP_NETWORK] = {"NET/S", "network-per-second", TOP_BYTES, 6},
	[TOP_STALLS] = {"STALLS", "stalls-per-second", TOP_COUNT, 6},
	/* What was not used for a minute or longer: the most of it comes first. */
	[TOP_AGES] = {"AGES", "cold", TOP_BAR, 10},
};

uint64_t top_figure(const struct top_figures *guest, enum top_column column)
{
	switch (column) {
	case TOP_SIZE:
		return guest->now.size;
	case TOP_USED:
		return guest->used;
	case TOP_HELD:
		return guest->now.own;
	case TOP_EXCESS:
		return guest->excess;
	case TOP_REPORTED:
		return guest->reported;
	case TOP_BALLOON:
		return guest->now.balloon;
	case TOP_PSI:
		return guest->psi;
	case TOP_STALLS:
		return guest->stalls;
	case TOP_CPU:
		return guest->cpu;
	case TOP_DISK:
		return guest->disk;
	case TOP_NETWORK:
		return guest->network;
	case TOP_AGES:
		return guest->both.bytes[TOP_1MIN];
	default:
		return TOP_UNKNOWN;
	}
}

const char *top_text(const struct top_figures *guest, enum top_column column)
{
	if (column == TOP_NAME)
		return guest->shown;
	if (!guest->answers)
		return "no answer";
	return *guest->now.status ? guest->now.status : "?";
}

static const char *format_bytes(char *out, uint64_t bytes)
{
	static const char unit[] = "BKMGTPE";
	double value = (double)bytes;
	size_t i = 0;
	while (value >= 999.5 && unit[i + 1]) {
		value /= 1024;
		i++;
	}
	snprintf(out, TOP_CELL_SIZE, i && value < 9.95 ? "%.1f%c" : "%.0f%c", value, unit[i]);
	return out;
}

static const char *format_count(char *out, uint64_t count)
{
	static const char unit[] = " kMGTPE";
	double value = (double)count;
	size_t i = 0;
	while (value >= 99999.5 && unit[i + 1]) {
		value /= 1000;
		i++;
	}
	if (i)
		snprintf(out, TOP_CELL_SIZE, "%.0f%c", value, unit[i]);
	else
		snprintf(out, TOP_CELL_SIZE, "%.0f", value);
	return out;
}

const char *top_format(char *out, uint64_t figure, enum top_format format)
{
	if (figure == TOP_UNKNOWN)
		return "-";
	if (format == TOP_BYTES)
		return format_bytes(out, figure);
	if (format == TOP_COUNT || figure >= 99995)
		return format_count(out, format == TOP_COUNT ? figure : figure / 10);
	snprintf(out, TOP_CELL_SIZE, "%.1f", (double)figure / 10);
	return out;
}
