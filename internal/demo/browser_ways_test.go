package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/offstagehq/offstage"
)

// visitor is a person at a browser, whose context each of its methods takes.
type visitor struct{ *testing.T }

func (v *visitor) does(ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	v.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.Fatal(err)
	}
}

// sees waits until an expression is true on the page.
func (v *visitor) sees(ctx context.Context, expression string) {
	v.Helper()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression)); err != nil {
		v.Fatalf("%s: %v", expression, err)
	}
}

// at evaluates an expression on the page.
func (v *visitor) at(ctx context.Context, expression string) string {
	v.Helper()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		v.Fatalf("%s: %v", expression, err)
	}
	return text
}

// file makes a small CSV to upload.
func (v *visitor) file() string {
	v.Helper()
	path := filepath.Join(v.TempDir(), "mine.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,x\n2,y\n"), 0o600); err != nil {
		v.Fatal(err)
	}
	return path
}

// uploads sends a small file by the form, and waits until the page of its report
// says this of it.
func (v *visitor) uploads(ctx context.Context, web *site, until string) {
	v.Helper()
	v.does(ctx, chromedp.Navigate(web.url+"/"), chromedp.SetUploadFiles("#file", []string{v.file()}),
		chromedp.Click("form.upload button"), chromedp.WaitVisible(until))
}

// tabsTo presses Tab until what has the focus says this, and wants that to be seen:
// it has an outline.
func (v *visitor) tabsTo(ctx context.Context, text string) {
	v.Helper()
	for range 60 {
		v.does(ctx, chromedp.KeyEvent(kb.Tab))
		if strings.Contains(v.at(ctx, `document.activeElement?.textContent ?? ""`), text) && v.at(ctx, `document.activeElement.tagName`) != "BODY" {
			if v.at(ctx, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
				v.Errorf("nobody sees that %q has the focus", text)
			}
			return
		}
	}
	v.Fatalf("Tab does not lead to %q", text)
}

// All of it works by the keyboard: begin a report, watch it, cancel it.
func TestKeyboardInABrowser(t *testing.T) {
	ctx, complaints := browser(t)
	v := &visitor{t}
	dir := t.TempDir()
	store := openStore(t, dir)
	web := startOn(t, dir, store, withoutWorker)
	slow, steps := startSlow(t, store, dir), make(chan int64)
	slow.jobs <- steps
	v.does(ctx, chromedp.Navigate(web.url+"/"), chromedp.SetUploadFiles("#file", []string{v.file()}))
	v.tabsTo(ctx, "Build report")
	v.does(ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("offstage-status[state=running]"))
	steps <- 30
	v.sees(ctx, `document.querySelector("progress[data-part=bar]").value === 30`)
	v.tabsTo(ctx, "Cancel")
	steps <- 60 // what is put in place anew leaves the focus where it is
	v.sees(ctx, `document.querySelector("progress[data-part=bar]").value === 60`)
	v.does(ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(".state.cancelled"))
	v.tabsTo(ctx, "Try another file")
	v.does(ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#file"))
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
}

// Without JavaScript the page loads itself again until the job has ended, and its
// buttons are forms.
func TestWithoutJavaScriptInABrowser(t *testing.T) {
	ctx, complaints := browser(t)
	v := &visitor{t}
	dir := t.TempDir()
	store := openStore(t, dir)
	web := startOn(t, dir, store, withoutWorker)
	slow, steps := startSlow(t, store, dir), make(chan int64)
	slow.jobs <- steps
	slow.jobs <- make(chan int64)
	v.does(ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	v.uploads(ctx, web, ".state.running")
	steps <- 50
	for shown := ""; shown != "50"; { // a page that is being left cannot be asked
		shown, _ = chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("progress[data-part=bar]")?.getAttribute("value") ?? ""`))
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	if v.at(ctx, `document.querySelector("offstage-status").getAttribute("state") ?? "no script"`) != "no script" {
		t.Error("a script has run")
	}
	close(steps)
	v.does(ctx, chromedp.WaitVisible("#report .button.primary"))
	pictures(t, ctx, "without-javascript")
	v.uploads(ctx, web, ".state.running")
	v.does(ctx, chromedp.Click("#status form button"), chromedp.WaitVisible(".state.cancelled")) // the page has only just been loaded
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
}

// On a phone no page is wider than the screen. Pictures of all are artefacts.
func TestPhoneInABrowser(t *testing.T) {
	ctx, complaints := browser(t)
	v := &visitor{t}
	web := start(t)
	report := web.upload("a report with a long name, as people give them.csv", readings(1000)).header.Get("Location")
	web.awaitState(report, offstage.Completed)
	failed := web.upload("broken.csv", io.MultiReader(readings(50), strings.NewReader("only one cell\n"))).header.Get("Location")
	web.awaitState(failed, offstage.Failed)
	command := web.command("pump-2", "open").header.Get("Location")
	web.awaitState(command, offstage.Completed)
	pages := map[string]string{
		"overview": "/", "report": report, "failed": failed, "command": command, "device": "/devices/pump-2", "jobs": "/jobs",
		"job": "/jobs/" + web.jobs("send_command")[0].ID.String(), "inbox": "/inbox",
	}
	for name, path := range pages {
		v.does(ctx, chromedp.Navigate(web.url+path), chromedp.WaitReady("h1"))
		for _, width := range []int64{390, 320} {
			v.does(ctx, chromedp.EmulateViewport(width, 800))
			if wide := v.at(ctx, `String(document.documentElement.scrollWidth)`); wide != fmt.Sprint(width) {
				t.Errorf("%s is %s pixels wide on a screen of %d", path, wide, width)
			}
		}
		pictures(t, ctx, name)
	}
	if said := complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
}
