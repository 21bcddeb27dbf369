package worker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/offstagehq/offstage"
	"github.com/offstagehq/offstage/offstagetest"
	"github.com/offstagehq/offstage/schedule"
	"github.com/offstagehq/offstage/worker"
)

// A page may say in words when a schedule is due.
func ExampleExpressionOf() {
	ctx, client := context.Background(), offstage.NewClient(offstagetest.NewStore())
	when := schedule.MustParse("every weekday at 4:30 in Europe/Berlin")
	check(client.SaveSchedule(ctx, offstage.MustSchedule("wake", when, Greet{Name: "Ada"})))

	info, err := client.Schedule(ctx, "wake")
	check(err)
	expression, err := worker.ExpressionOf(&info)
	check(err)
	next, _ := expression.Next(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	fmt.Println(expression.Explain())
	fmt.Println(next)
	// Output:
	// at 04:30 on Monday to Friday, Europe/Berlin time
	// 2026-11-30 04:30:00 +0100 CET
}
