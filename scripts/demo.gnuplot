# SPDX-License-Identifier: Apache-2.0
# Draws the demo's picture. scripts/demo feeds it: $off and $on (seconds since the free, MiB), the numbers of
# both runs, t90, first, last, kind (png or svg), and the output.
if (kind eq 'png') {
	set terminal pngcairo size 1600,900 font 'DejaVu Sans,19' linewidth 2 background '#ffffff'
} else {
	set terminal svg size 960,540 font 'DejaVu Sans,Helvetica,sans-serif,12' linewidth 1.2 background '#ffffff' enhanced
}
off_colour = '#d9730d'
on_colour = '#0b8a75'
grey = '#6b7280'

set encoding utf8
set border 3 linecolor rgb '#9ca3af'
set tics nomirror out scale 0.5 textcolor rgb grey
set grid ytics linetype 1 linecolor rgb '#e5e7eb'
set xrange [first:last]
set yrange [0:704]
set ytics 0,128,640
step = last - first > 30 ? 5 : 2
set xtics step
set lmargin 9
set rmargin 15
set tmargin 5
set bmargin 4
set xlabel 'seconds since the guest freed the memory' textcolor rgb grey offset 0,0.3
set ylabel 'host memory held for the guest (MiB)' textcolor rgb grey offset 0.5,0
set label 1 "{/:Bold A guest takes 512 MiB and frees it. Does the host get it back?}" at graph 0,1.13 left front textcolor rgb '#111827'
set label 2 sprintf("ebb, 1 GiB guest. Free page reporting off: %.0f MiB kept. On: %.0f MiB kept%s.", \
	off_kept, on_kept, t90 eq 'never' ? '' : sprintf(', 90 %% back after %s s', t90)) \
	at graph 0,1.065 left front textcolor rgb grey

# What the guest did, in the run with reporting on.
set arrow 1 from 0,0 to 0,668 nohead front dashtype 3 linecolor rgb grey
set label 3 ' freed' at 0,684 left front textcolor rgb grey
set arrow 2 from on_take,0 to on_take,668 nohead front dashtype 3 linecolor rgb grey
set label 4 ' take' at on_take,684 left front textcolor rgb grey
set arrow 3 from on_taken,0 to on_taken,668 nohead front dashtype 3 linecolor rgb grey
set label 5 'taken ' at on_taken,684 right front textcolor rgb grey

set label 6 sprintf("{/:Bold off}  %.0f MiB", off_after) at graph 1.015,first off_after left front textcolor rgb off_colour
set label 7 sprintf("{/:Bold on}  %.0f MiB", on_after) at graph 1.015,first on_after left front textcolor rgb on_colour

unset key
set style fill transparent solid 0.10 noborder
plot $off using 1:2 with filledcurves y1=0 linecolor rgb off_colour, \
     $on using 1:2 with filledcurves y1=0 linecolor rgb on_colour, \
     $off using 1:2 with lines linewidth 2 linecolor rgb off_colour, \
     $on using 1:2 with lines linewidth 2 linecolor rgb on_colour
