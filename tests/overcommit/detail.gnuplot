# SPDX-License-Identifier: Apache-2.0
# Draws the report's second chart: a panel for each thing that was measured, all variants in it. report.py writes
# before it loads this: kind, output, variants, panels, last; arrays short[], colour[], heading[]; blocks $s1 and on (one
# a variant): seconds, and a column for each panel.
columns = 3
rows = int((panels + columns) / columns)
wide = 1410
high = 20 + 230 * rows
if (kind eq 'png') {
	set terminal pngcairo size 1.25 * wide, 1.25 * high font 'DejaVu Sans,13.5' linewidth 1.5 background '#ffffff'
} else {
	set terminal svg size wide, high font 'DejaVu Sans,Helvetica,sans-serif,12' linewidth 1.1 background '#ffffff' \
		enhanced name 'detail'
}
set output output
set encoding utf8
grey = '#6b7280'
set multiplot
set border 3 linecolor rgb '#9ca3af'
set tics nomirror out scale 0.4 textcolor rgb grey
set grid ytics linetype 1 linecolor rgb '#e5e7eb' back
unset key
set xrange [0:last]
cell_h = 1.0 / rows
do for [p = 1:panels] {
	set lmargin at screen ((p - 1) % columns) / (1.0 * columns) + 62.0 / wide
	set rmargin at screen ((p - 1) % columns + 1) / (1.0 * columns) - 18.0 / wide
	set tmargin at screen 1 - int((p - 1) / columns) * cell_h - 32.0 / high
	set bmargin at screen 1 - (int((p - 1) / columns) + 1) * cell_h + 26.0 / high
	stats_high = most[p]
	set yrange [0:(stats_high > 0 ? 1.08 * stats_high : 1)]
	set label 1 '{/:Bold '.heading[p].'}' at graph 0, 1.07 left textcolor rgb '#111827'
	plot for [v = 1:variants] sprintf('$s%d', v) using 1:(column(1 + p)) with lines linewidth 1.7 \
		linecolor rgb colour[v]
}
p = panels + 1
set lmargin at screen ((p - 1) % columns) / (1.0 * columns) + 62.0 / wide
set rmargin at screen ((p - 1) % columns + 1) / (1.0 * columns) - 18.0 / wide
set tmargin at screen 1 - int((p - 1) / columns) * cell_h - 32.0 / high
set bmargin at screen 1 - (int((p - 1) / columns) + 1) * cell_h + 26.0 / high
unset border
unset tics
unset grid
unset label
set xrange [0:1]
set yrange [variants + 1:0]
do for [v = 1:variants] {
	set arrow v from 0.02, v to 0.12, v nohead linewidth 3 linecolor rgb colour[v]
	set label v long[v] at 0.15, v left textcolor rgb '#111827'
}
plot NaN notitle
unset multiplot
