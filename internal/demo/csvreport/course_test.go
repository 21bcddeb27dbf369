package csvreport

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// A course says of each stretch what its rows had, however long the file is.
func TestCourse(t *testing.T) {
	dice := rand.New(rand.NewPCG(3, 4))
	for _, rows := range []int64{1, 3, maxStretches, maxStretches + 1, 5 * maxStretches, 100_003} {
		var c courseOf
		values := map[int64]float64{}
		for row := range rows {
			if dice.IntN(10) == 0 {
				continue // an empty cell
			}
			values[row] = math.Round(dice.Float64()*2000) - 1000
			c.add(row, values[row])
		}
		want := make(Course, len(c.stretches))
		for row := range rows {
			if v, ok := values[row]; ok {
				want[row>>c.doubled].add(v)
			}
		}
		if len(c.stretches) > maxStretches || rows > maxStretches && len(c.stretches) < maxStretches/2 {
			t.Errorf("%d rows have %d stretches", rows, len(c.stretches))
		}
		for i := range want {
			if c.stretches[i] != want[i] {
				t.Errorf("%d rows, stretch %d: %+v, want %+v", rows, i, c.stretches[i], want[i])
			}
		}
	}
}

// The page draws what the file does: here a line that rises from the lower left
// to the upper right, and nothing of a column that turns out to be text.
func TestPageDrawsTheCourse(t *testing.T) {
	var file strings.Builder
	file.WriteString("n,text\n")
	for i := range 10 * maxStretches {
		fmt.Fprintf(&file, "%d,%d\n", i, i)
	}
	file.WriteString("9,word\n")
	a, err := Analyze(t.Context(), strings.NewReader(file.String()), nil)
	if err != nil || len(a.Courses) != 1 {
		t.Fatalf("%d courses, %v", len(a.Courses), err)
	}
	var page strings.Builder
	if err := WriteHTML(&page, a, "rising"); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, page.String())
	_, after, _ := strings.Cut(page.String(), `<polyline class="line" points="`)
	points, _, _ := strings.Cut(after, `"`)
	all := strings.Fields(points)
	if len(all) != len(a.Courses[0]) || strings.Count(page.String(), "<polyline") != 1 {
		t.Fatalf("the line has the points %q", points)
	}
	lastX, lastY := 0.0, float64(courseHeight)
	for i, point := range all[:len(all)-1] { // the last row goes back to 9
		var x, y float64
		if _, err := fmt.Sscanf(point, "%f,%f", &x, &y); err != nil || x <= lastX || y >= lastY {
			t.Errorf("point %d is %s after %v,%v, %v", i, point, lastX, lastY, err)
		}
		lastX, lastY = x, y
	}
}

// What cannot be drawn is left out, and what has no height is drawn in the middle.
func TestCourseSurvivesAnyNumbers(t *testing.T) {
	huge := strings.Repeat("9", 400)
	a, err := Analyze(t.Context(), strings.NewReader("x,y\n"+strings.Repeat("7,"+huge+"\n7,1\n", 10)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range a.Courses {
		drawn := c.draw(bounds(a.Columns[i]))
		if strings.Contains(drawn.Line+drawn.Band, "N") || strings.Contains(drawn.Line+drawn.Band, "Inf") {
			t.Errorf("column %d is drawn as %+v", i, drawn)
		}
	}
	if line := a.Courses[0].draw(bounds(a.Columns[0])).Line; !strings.Contains(line, ",100.0 ") {
		t.Errorf("a column of sevens is drawn as %s", line)
	}
}
