package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/term"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func testApp(t *testing.T) (*App, *bytes.Buffer, *bytes.Buffer) {
	t.Helper()
	var out, err bytes.Buffer
	return &App{
		Streams: &term.Streams{In: strings.NewReader(""), Out: &out, Err: &err},
		Getenv:  func(string) string { return "" },
		Home:    t.TempDir(), Dir: t.TempDir(),
		Now: func() time.Time { return time.Unix(0, 0) }, Version: "test",
	}, &out, &err
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		walk(sub, visit)
	}
}

// Every command explains itself: what it does, by example, how it ends, what
// its arguments are and how they complete.
func TestCommandTree(t *testing.T) {
	app, _, _ := testApp(t)
	walk(NewRoot(app), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q; it wants a phrase without a full stop", path, cmd.Short)
		}
		if cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: Long or Example is missing", path)
		}
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "  fleet ") && !strings.Contains(line, "| fleet ") {
				t.Errorf("%s: example line %q does not start with fleet", path, line)
			}
		}
		if !cmd.HasAvailableSubCommands() && !strings.Contains(usageText(cmd), "\nExit status:\n") {
			t.Errorf("%s: the exit status is not explained", path)
		}
		if cmd.Args == nil && cmd.HasParent() {
			t.Errorf("%s: Args is not set", path)
		}
		takesArgs := strings.ContainsAny(cmd.Use, "[<") || strings.ToUpper(cmd.Use) != strings.ToLower(cmd.Use) && strings.Contains(cmd.Use, " ")
		if takesArgs && cmd.ValidArgsFunction == nil {
			t.Errorf("%s: its arguments have no completion", path)
		}
		if cmd.HasParent() && cmd.Parent().HasAlias("") {
			t.Errorf("%s: empty alias", path)
		}
		if strings.Contains(cmd.Use, "[SELECTION...]") && cmd.Flags().Lookup("all") == nil {
			t.Errorf("%s: it takes a selection and no --all", path)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no usage", path, f.Name)
			}
			if value, _ := pflag.UnquoteUsage(f); strings.HasPrefix(value, "string") {
				t.Errorf("%s --%s: its usage does not name the value in backquotes", path, f.Name)
			}
		})
		if !cmd.Runnable() && cmd.HasParent() {
			t.Errorf("%s cannot be run", path)
		}
	})
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"help"}, 0, ""},
		{[]string{"exit-codes"}, 0, ""},
		{[]string{"verson"}, 2, "fleet has no command verson, did you mean version?\nsee `fleet --help`"},
		{[]string{"version", "--frobnicate"}, 2, "unknown flag: --frobnicate\nsee `fleet version --help`"},
		{[]string{"version", "extra"}, 2, "see `fleet version --help`"},
		{[]string{"machines", "update", "one", "--build-host", "two", "--build-on-target"}, 2, "error: --build-host and --build-on-target cannot be used together\nsee"},
		{[]string{"machines", "build", "one", "--eval-only", "--dry-run", "--out-link=x"}, 2, "error: --dry-run and --eval-only and --out-link cannot be used together\nsee"},
		{[]string{"machines", "list", "--jobs", "many"}, 2, "invalid argument"},
		{[]string{"machines", "update", "one", "--target-host", ""}, 2, "--target-host is empty: give it a value, or leave it out\nsee `fleet machines update --help`"},
		{[]string{"machines", "update", "one", "--build-host="}, 2, "--build-host is empty"},
		{[]string{"machines", "update", "--resume", ""}, 2, "--resume is empty"},
		{[]string{"vars", "generate", "one", "-g", ""}, 2, "--generator is empty"},
		{[]string{"machines", "list", "--flake", ""}, 2, "--flake is empty"},
		{[]string{"machines", "list"}, 1, "fleet init"},
		{[]string{"machines", "list", "--flake", "/nonexistent"}, 1, "there is no flake.nix"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			app, _, stderr := testApp(t)
			if code := Main(t.Context(), app, tt.args); code != tt.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, tt.code, stderr)
			}
			if !strings.Contains(stderr.String(), tt.err) {
				t.Errorf("stderr %q does not contain %q", stderr, tt.err)
			}
			if strings.Count(stderr.String(), "--help") > 1 {
				t.Errorf("stderr %q tells twice where there is help", stderr)
			}
		})
	}
}
