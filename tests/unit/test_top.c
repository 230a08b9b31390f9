// SPDX-License-Identifier: Apache-2.0
/* `ebb top` without a terminal: order, keys, and lines of every size. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/top_samples.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/text.h"
#include "vmm/top/columns.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))
#define GUESTS	     5

static const struct top_host host = {8192 * MIB, 2048 * MIB, 1234};

/* --- formats ------------------------------------------------------------------------------- */

static const struct {
	uint64_t figure;
	enum top_format format;
	const char *text;
} formats[] = {
	{TOP_UNKNOWN, TOP_BYTES, "-"},
	{0, TOP_BYTES, "0B"},
	{999, TOP_BYTES, "999B"},
	{1000, TOP_BYTES, "1.0K"},
	{10 * 1024 - 1, TOP_BYTES, "10K"},
	{558 * MIB, TOP_BYTES, "558M"},
	{1023 * MIB, TOP_BYTES, "1.0G"},
	{TOP_UNKNOWN - 1, TOP_BYTES, "16E"},
	{99999, TOP_COUNT, "99999"},
	{100000, TOP_COUNT, "100k"},
	{TOP_UNKNOWN - 1, TOP_COUNT, "18447P"},
	{0, TOP_PERCENT, "0.0"},
	{1999, TOP_PERCENT, "199.9"},
	{99994, TOP_PERCENT, "9999.4"},
	{99995, TOP_PERCENT, "9999"},
	{TOP_UNKNOWN - 1, TOP_PERCENT, "1845P"},
};

START_TEST(figures_are_short)
{
	char out[TOP_CELL_SIZE];
	const char *text = top_format(out, formats[_i].figure, formats[_i].format);
	ck_assert_str_eq(text, formats[_i].text);
	ck_assert_uint_le(strlen(text), 6);
}
END_TEST

/* --- a screen ------------------------------------------------------------------------------ */

struct screen {
	size_t width, height, lines, last;
	char text[64][TOP_LINE_SIZE];
	enum top_style style[64];
};

static void take(void *ctx, size_t row, enum top_style style, const char *text)
{
	struct screen *screen = ctx;
	ck_assert_uint_lt(row, screen->height);
	ck_assert(screen->lines == 0 || row > screen->last);
	ck_assert_uint_le(text_width(text), screen->width);
	ck_assert(text_is_utf8(text));
	for (const char *c = text; *c; c++)
		ck_assert((unsigned char)*c >= ' ' && *c != 0x7f);
	screen->last = row;
	screen->lines++;
	screen->style[row] = style;
	strcpy(screen->text[row], text);
}

struct scene {
	struct top_view view;
	struct top_figures figures[GUESTS];
	struct top_figures *guest[GUESTS];
	size_t shown;
	struct screen screen;
};

/* Guests d, c, b, a, which hold 400, 300, … MiB; and one that never answered. */
static struct scene *begin(void)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	scene->view = top_view_start();
	for (int i = 0; i < GUESTS; i++) {
		char name[] = {(char)('a' + i), 'x', '\0'};
		struct top_sample sample = top_usual;
		sample.resident = sample.own = (uint64_t)(i + 1) * 100 * MIB;
		top_figures_init(&scene->figures[i], name, i + 1);
		scene->guest[i] = &scene->figures[i];
		if (i < GUESTS - 1)
			top_figures_take(&scene->figures[i], &sample);
	}
	return scene;
}

static void draw(struct scene *scene, size_t width, size_t height)
{
	scene->screen.width = width;
	scene->screen.height = height;
	scene->screen.lines = 0;
	for (size_t row = 0; row < height; row++)
		scene->screen.text[row][0] = '\0';
	scene->shown = top_arrange(&scene->view, scene->guest, GUESTS);
	top_draw(&scene->view, &host, scene->guest, scene->shown, GUESTS, width, height, take,
		 &scene->screen);
}

static enum top_outcome press(struct scene *scene, int key)
{
	scene->shown = top_arrange(&scene->view, scene->guest, GUESTS);
	return top_key(&scene->view, key, scene->guest, scene->shown);
}

/* The first letters of the guests on the screen, in order. */
static const char *names(struct scene *scene)
{
	static char out[GUESTS + 1];
	size_t count = 0;
	draw(scene, 120, 20);
	for (size_t row = 3; row < 19 && scene->screen.text[row][0]; row++)
		out[count++] = scene->screen.text[row][0];
	out[count] = '\0';
	return out;
}

START_TEST(a_screen_has_all)
{
	struct scene *scene = begin();
	draw(scene, 107, 10);
	ck_assert_str_eq(scene->screen.text[0], "host: 2.0G of 8.0G available, PSI 12.34 %");
	ck_assert_str_eq(
		scene->screen.text[1],
		"guests: 5, promised 3.8G (47 % of the host), held 1.0G, used 2.6G, excess 0B");
	ck_assert_ptr_nonnull(strstr(scene->screen.text[2],
				     "NAME STATUS      SIZE   USED   HELD EXCESS  REP/S   BALL "));
	ck_assert_ptr_nonnull(strstr(scene->screen.text[3],
				     "dx   running     1.0G   660M   400M     0B      -    64M "));
	ck_assert_int_eq(scene->screen.style[3], TOP_SELECTED);
	ck_assert_str_eq(
		scene->screen.text[7],
		"ex   no answer      -      -      -      -      -      -      -      -      -      -      -          -");
	ck_assert_int_eq(scene->screen.style[7], TOP_FAINT);
	ck_assert_ptr_nonnull(strstr(scene->screen.text[9], "q quit"));
	free(scene);
}
END_TEST

START_TEST(narrow_screens_leave_columns_out)
{
	struct scene *scene = begin();
	draw(scene, 20, 5);
	ck_assert_str_eq(scene->screen.text[0], "host: 2.0G of 8.0G a");
	ck_assert_str_eq(scene->screen.text[2], "NAME STATUS         ");
	ck_assert_str_eq(scene->screen.text[3], "dx   running        ");
	ck_assert_ptr_nonnull(strstr(scene->screen.text[4], "q quit"));
	draw(scene, 1, 1);
	ck_assert_str_eq(scene->screen.text[0], "h");
	draw(scene, 3, 2);
	ck_assert_str_eq(scene->screen.text[1], "dx ");
	free(scene);
}
END_TEST

START_TEST(a_long_name_gives_way)
{
	struct scene *scene = begin();
	memset(scene->figures[3].shown, 'n', sizeof(scene->figures[3].shown) - 1);
	draw(scene, 60, 10);
	ck_assert_ptr_nonnull(strstr(scene->screen.text[3], "nnn running     1.0G"));
	draw(scene, 10, 10);
	ck_assert_str_eq(scene->screen.text[3], "nnnnnnnnnn");
	draw(scene, TOP_WIDTH_MAX + 100, 10);
	free(scene);
}
END_TEST

/* Every size, with every part of the screen: take() checks that nothing leaves it. */
START_TEST(any_size_will_do)
{
	struct scene *scene = begin();
	for (int state = 0; state < 4; state++) {
		scene->view.detail = state == 1;
		scene->view.typing = state == 2;
		scene->view.plain = state == 3;
		strcpy(scene->view.selected, "bx");
		for (size_t width = 1; width <= 140; width += width < 40 ? 1 : 10)
			for (size_t height = 1; height <= 24; height++) {
				draw(scene, width, height);
				ck_assert_uint_ge(scene->screen.lines, 1);
				/* The selected one is there, where a guest has room. */
				bool there = height == 1 || state == 3;
				for (size_t row = 1; row < height; row++)
					there |= scene->screen.text[row][0] == 'b';
				ck_assert_msg(there, "%zu x %zu, state %d", width, height, state);
			}
	}
	free(scene);
}
END_TEST

START_TEST(keys_sort)
{
	struct scene *scene = begin();
	ck_assert_str_eq(names(scene), "dcbae");
	press(scene, 'r');
	ck_assert_str_eq(names(scene), "abcde");
	press(scene, 'r');
	while (scene->view.sort != TOP_NAME)
		press(scene, '<');
	ck_assert_str_eq(names(scene), "abcde");
	press(scene, TOP_KEY_LEFT);
	ck_assert_int_eq(scene->view.sort, TOP_AGES);
	press(scene, '>');
	press(scene, TOP_KEY_RIGHT);
	ck_assert_int_eq(scene->view.sort, TOP_STATUS);
	ck_assert_str_eq(names(scene), "eabcd");
	free(scene);
}
END_TEST

START_TEST(keys_filter)
{
	struct scene *scene = begin();
	strcpy(scene->figures[1].shown, "Quiet");
	press(scene, '/');
	for (const char *c = "qUi"; *c; c++)
		ck_assert_int_eq(press(scene, *c), TOP_GO_ON);
	ck_assert_str_eq(names(scene), "Q");
	ck_assert_ptr_nonnull(strstr(scene->screen.text[1], "; 1 named *qUi*"));
	press(scene, TOP_KEY_BACKSPACE);
	ck_assert_str_eq(scene->view.filter, "qU");
	press(scene, 0xe4);
	press(scene, TOP_KEY_UP);
	for (int i = 0; i < 1000; i++)
		press(scene, 'z');
	ck_assert_uint_eq(strlen(scene->view.filter), sizeof(scene->view.filter) - 1);
	ck_assert_str_eq(names(scene), "");
	press(scene, TOP_KEY_ENTER);
	press(scene, TOP_KEY_DOWN);
	press(scene, TOP_KEY_ENTER);
	ck_assert(!scene->view.detail);
	press(scene, TOP_KEY_ESCAPE);
	ck_assert_uint_eq(strlen(names(scene)), GUESTS);
	free(scene);
}
END_TEST

START_TEST(keys_select)
{
	struct scene *scene = begin();
	static const struct {
		int key;
		const char *name;
	} moves[] = {
		{TOP_KEY_UP, "dx"}, {'j', "cx"},	 {TOP_KEY_DOWN, "bx"},
		{'k', "cx"},	    {TOP_KEY_END, "ex"}, {TOP_KEY_DOWN, "ex"},
		{'g', "dx"},	    {'G', "ex"},	 {TOP_KEY_HOME, "dx"},
	};
	for (int i = 0; i < COUNT(moves); i++) {
		press(scene, moves[i].key);
		ck_assert_str_eq(scene->view.selected, moves[i].name);
	}
	/* Two rows a page; what is selected stays so when the order changes. */
	draw(scene, 80, 6);
	press(scene, TOP_KEY_PAGE_DOWN);
	ck_assert_str_eq(scene->view.selected, "bx");
	press(scene, 'r');
	draw(scene, 80, 6);
	ck_assert_int_eq(scene->screen.style[4], TOP_SELECTED);
	ck_assert_int_eq(scene->screen.text[4][0], 'b');
	press(scene, TOP_KEY_PAGE_UP);
	ck_assert_str_eq(scene->view.selected, "ax");
	free(scene);
}
END_TEST

START_TEST(keys_end_and_pause)
{
	struct scene *scene = begin();
	press(scene, 'p');
	names(scene);
	ck_assert_ptr_nonnull(strstr(scene->screen.text[1], "; paused"));
	press(scene, ' ');
	ck_assert(!scene->view.paused);
	ck_assert_int_eq(press(scene, TOP_KEY_NONE), TOP_GO_ON);
	press(scene, TOP_KEY_ENTER);
	ck_assert_int_eq(press(scene, 'q'), TOP_GO_ON);
	ck_assert_int_eq(press(scene, 'q'), TOP_QUIT);
	free(scene);
}
END_TEST

/* Zeros would be figures. */
START_TEST(of_a_guest_that_never_answered_nothing_is_known)
{
	struct scene *scene = begin();
	for (int column = TOP_SIZE; column < TOP_COLUMNS; column++)
		ck_assert_uint_eq(top_figure(scene->guest[GUESTS - 1], column), TOP_UNKNOWN);
	strcpy(scene->view.selected, "ex");
	scene->view.detail = true;
	draw(scene, 60, 20);
	ck_assert(strncmp(scene->screen.text[2], "ex  no answer", 13) == 0);
	for (size_t row = 3; row < 16; row++)
		ck_assert_msg(strstr(scene->screen.text[row], "      -"), "row %zu: %s", row,
			      scene->screen.text[row]);
	free(scene);
}
END_TEST

START_TEST(detail_has_curves)
{
	struct scene *scene = begin();
	struct top_sample sample = top_usual;
	for (int i = 0; i <= 8; i++) {
		sample = top_later(sample, NS_PER_S);
		sample.resident = sample.own = (uint64_t)i * 128 * MIB;
		top_figures_take(&scene->figures[0], &sample);
	}
	strcpy(scene->view.selected, "ax");
	press(scene, TOP_KEY_ENTER);
	draw(scene, 100, 20);
	ck_assert_ptr_nonnull(strstr(scene->screen.text[1], "guests: 5"));
	ck_assert_ptr_nonnull(strstr(scene->screen.text[2], "ax  running  pid 1"));
	ck_assert_ptr_nonnull(strstr(scene->screen.text[3], "held         1.0G"));
	ck_assert_ptr_nonnull(strstr(scene->screen.text[3], "▁▁▂▃▄▅▆▇██"));
	scene->view.ascii = true;
	draw(scene, 28, 20);
	/* The newest, as far as there is room. */
	ck_assert_str_eq(scene->screen.text[3], "held         1.0G  _.:-=+*##");
	/* It ends with its guest. */
	strcpy(scene->figures[0].name, "other");
	draw(scene, 80, 20);
	ck_assert(!scene->view.detail);
	free(scene);
}
END_TEST

START_TEST(ages_are_bars)
{
	struct scene *scene = begin();
	struct top_sample sample = top_aged();
	sample.own = 400 * MIB;
	top_figures_take(&scene->figures[3], &sample);
	draw(scene, 107, 20);
	ck_assert_ptr_nonnull(strstr(scene->screen.text[2], " STALLS       AGES"));
	ck_assert_ptr_nonnull(strstr(scene->screen.text[3], " █████▓▓▒▒·"));
	/* Another has no memory of any age that it tells. */
	ck_assert_ptr_null(strstr(scene->screen.text[4], "█"));
	draw(scene, 94, 20);
	ck_assert_ptr_null(strstr(scene->screen.text[2], "AGES"));
	strcpy(scene->view.selected, "dx");
	press(scene, TOP_KEY_ENTER);
	draw(scene, 100, 24);
	ck_assert_str_eq(
		scene->screen.text[8],
		"files        300M  ██████████▓▓▓▓▓▒▒░░·  not used for 10 s 150M, 1 min 75M, 10 min 38M, 1 h 19M");
	ck_assert_ptr_nonnull(strstr(scene->screen.text[7], "programs     100M  ███"));
	scene->view.ascii = true;
	draw(scene, 40, 24);
	ck_assert_str_eq(scene->screen.text[8], "files        300M  ##########+++++==--.");
	free(scene);
}
END_TEST

START_TEST(columns_have_names)
{
	char text[TEXT_MAX];
	struct option_error error = {text, sizeof(text)};
	ck_assert_int_eq(top_column_named("excess", &error), TOP_EXCESS);
	ck_assert_int_eq(top_column_named("NET/S", &error), TOP_NETWORK);
	ck_assert_int_lt(top_column_named("rss", &error), 0);
	ck_assert_str_eq(
		text,
		"no column is called \"rss\": there are NAME, STATUS, SIZE, USED, HELD, EXCESS, REP/S, BALL, PSI%, CPU%, DISK/S, NET/S, STALLS, AGES");
}
END_TEST

START_TEST(no_guest_at_all)
{
	struct top_view view = top_view_start();
	struct screen *screen = calloc(1, sizeof(*screen));
	screen->width = 80;
	screen->height = 24;
	ck_assert_uint_eq(top_arrange(&view, NULL, 0), 0);
	for (int key = 0; key <= TOP_KEY_BACKSPACE; key++)
		top_key(&view, key, NULL, 0);
	view = top_view_start();
	top_draw(&view, &host, NULL, 0, 0, 80, 24, take, screen);
	ck_assert_ptr_nonnull(strstr(screen->text[1], "guests: 0, promised 0B"));
	free(screen);
}
END_TEST

START_TEST(json_has_what_is_known)
{
	struct scene *scene = begin();
	size_t shown = top_arrange(&scene->view, scene->guest, GUESTS);
	json_t *object = top_json(&host, scene->guest, shown);
	const json_t *guests = json_object_get(object, "guests");
	const json_t *first = json_array_get(guests, 0), *last = json_array_get(guests, 4);
	ck_assert_uint_eq(json_array_size(guests), GUESTS);
	ck_assert_str_eq(guest_stat_text(first, "name"), "dx");
	ck_assert_uint_eq(guest_stat_number(first, "held", 0), 400 * MIB);
	ck_assert_ptr_null(json_object_get(first, "stalls-per-second"));
	ck_assert_ptr_null(json_object_get(first, "psi-percent"));
	ck_assert_str_eq(guest_stat_text(last, "status"), "no answer");
	ck_assert_ptr_null(json_object_get(last, "held"));
	ck_assert(json_real_value(json_object_get(json_object_get(object, "host"), "pressure")) ==
		  12.34);
	json_decref(object);
	free(scene);
}
END_TEST

Suite *top_suite(void);
Suite *top_suite(void)
{
	Suite *suite = suite_create("top");
	TCase *tests = tcase_create("top");
	tcase_add_loop_test(tests, figures_are_short, 0, COUNT(formats));
	tcase_add_test(tests, a_screen_has_all);
	tcase_add_test(tests, narrow_screens_leave_columns_out);
	tcase_add_test(tests, a_long_name_gives_way);
	tcase_add_test(tests, any_size_will_do);
	tcase_add_test(tests, keys_sort);
	tcase_add_test(tests, keys_filter);
	tcase_add_test(tests, keys_select);
	tcase_add_test(tests, keys_end_and_pause);
	tcase_add_test(tests, of_a_guest_that_never_answered_nothing_is_known);
	tcase_add_test(tests, detail_has_curves);
	tcase_add_test(tests, ages_are_bars);
	tcase_add_test(tests, columns_have_names);
	tcase_add_test(tests, no_guest_at_all);
	tcase_add_test(tests, json_has_what_is_known);
	suite_add_tcase(suite, tests);
	return suite;
}
