package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-multierror"
)

func TestExitCode(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"done":                    {interrupted, nil, exitDone},
		"failed":                  {t.Context(), errors.New("x"), exitFailed},
		"coded":                   {t.Context(), exit(exitSomeFailed), exitSomeFailed},
		"coded and wrapped":       {t.Context(), fmt.Errorf("x: %w", exit(exitSomeFailed)), exitSomeFailed},
		"interrupted":             {interrupted, errors.New("x"), exitInterrupted},
		"interrupted, some":       {interrupted, exit(exitSomeFailed), exitInterrupted},
		"unknown weighs more":     {interrupted, exit(exitUnknown), exitUnknown},
		"Ctrl-C at a prompt":      {t.Context(), fmt.Errorf("x: %w", term.ErrCancelled), exitInterrupted},
		"a command line of cobra": {t.Context(), errors.New("accepts 1 arg(s), received 2"), exitUsage},
	} {
		if got := exitCode(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestReport(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"one":              {errors.New("x"), "error: x\n"},
		"all was said":     {exit(exitFailed), ""},
		"several":          {multierror.Append(errors.New("a\n  b"), errors.New("c")), "error: a\n  b\nerror: c\n"},
		"an interruption":  {fmt.Errorf("nix eval: %w", context.Canceled), "error: interrupted\n"},
		"that says more":   {fmt.Errorf("interrupted, so nothing was changed: %w", context.Canceled), "error: interrupted, so nothing was changed\n"},
		"no reader":        {fmt.Errorf("write: %w", syscall.EPIPE), ""},
		"foreign sequence": {errors.New("a\x1b[31mb"), "error: a[31mb\n"},
	} {
		app, _, stderr := testApp(t)
		report(app, nil, tt.err)
		if got := stderr.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                {""},
		"one two three":   {"one two", "three"},
		"averylongword b": {"averylongword", "b"},
	} {
		if diff := cmp.Diff(want, wrap(text, 8)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// A value that is no text is not bent into one.
func TestValueJSON(t *testing.T) {
	for data, want := range map[string]string{
		"a\n":      `"text": "a\n"`,
		"":         `"text": ""`,
		"\xff\x00": `"base64": "/wA="`,
	} {
		app, out, _ := testApp(t)
		if err := app.writeJSON(newValue("m", "g/f", &vars.Value{Data: []byte(data)})); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %s, %v", data, out, err)
		}
	}
}
