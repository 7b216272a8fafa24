package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"syscall"

	"github.com/crs58/fleet/internal/term"
	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"
)

// The exit codes, the same for every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitSomeFailed  = 3
	exitRolledBack  = 4
	exitUnknown     = 5
	exitInterrupted = 130
)

var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "failed, or there are findings"},
	{exitUsage, "wrong usage"},
	{exitSomeFailed, "some machines failed"},
	{exitRolledBack, "rolled back"},
	{exitUnknown, "the outcome is unknown"},
	{exitInterrupted, "interrupted"},
}

func exitTable() string {
	var b strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return strings.TrimRight(b.String(), "\n")
}

// exitCodesTopic is a help text that can be asked for like a command.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:     "exit-codes",
		Short:   "What the exit codes mean",
		Long:    "Exit codes, the same for every command:\n\n" + exitTable(),
		Example: "  fleet machines update --all; echo $?",
		GroupID: groupAround,
		Args:    cobra.NoArgs,
		Run:     func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), cmd.Long) },
	}
}

// codeError is an error that asks for an exit code of its own. A nil Err means
// that everything there is to say was already said.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exit ends a command with a code after it has said everything itself.
func exit(code int) error {
	if code == exitDone {
		return nil
	}
	return &codeError{code: code}
}

// exitOf is the exit code where so many of all machines failed.
func exitOf(failed, all int) int {
	switch failed {
	case 0:
		return exitDone
	case all:
		return exitFailed
	}
	return exitSomeFailed
}

func usageError(cmd *cobra.Command, err error) error {
	return &codeError{exitUsage, fmt.Errorf("%w\nsee `%s --help`", err, cmd.CommandPath())}
}

func exitCode(ctx context.Context, err error) int {
	var coded *codeError
	errors.As(err, &coded)
	switch {
	case err == nil:
		return exitDone
	case coded != nil && coded.code == exitUnknown:
		return exitUnknown // weighs more than the interruption
	case ctx.Err() != nil || errors.Is(err, term.ErrCancelled):
		return exitInterrupted
	case coded != nil:
		return coded.code
	case isCobraUsage(err):
		return exitUsage
	}
	return exitFailed
}

// isCobraUsage recognises the errors that cobra makes of a command line; they
// have no type.
func isCobraUsage(err error) bool {
	for _, start := range []string{"unknown command", "unknown flag", "accepts ", "requires ", "required flag", "if any flags in the group", "at least one of the flags"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

// exclusive is what cobra says of flags that exclude each other.
var exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)

// ours puts an error of cobra into our words where its own are hard to read.
func ours(err error) error {
	if set := exclusive.FindStringSubmatch(err.Error()); set != nil {
		return fmt.Errorf("--%s cannot be used together", strings.ReplaceAll(set[1], " ", " and --"))
	}
	return err
}

// report prints an error, on standard error, whatever happened to standard output.
// Of several errors each is printed for itself.
func report(app *App, cmd *cobra.Command, err error) {
	var coded *codeError
	if err == nil || errors.As(err, &coded) && coded.err == nil || errors.Is(err, syscall.EPIPE) {
		return
	}
	if several, ok := err.(*multierror.Error); ok {
		for _, err := range several.Errors {
			report(app, cmd, err)
		}
		return
	}
	if errors.Is(err, context.Canceled) {
		err = interruption(err)
	}
	if coded == nil && isCobraUsage(err) && cmd != nil {
		err = usageError(cmd, ours(err))
	}
	app.Streams.Problem(err)
}

// interruption keeps of an error that comes from Ctrl-C what it says about how
// things stand now.
func interruption(err error) error {
	text, _, _ := strings.Cut(err.Error(), ": "+context.Canceled.Error())
	if strings.HasPrefix(text, "interrupted") {
		return errors.New(text)
	}
	return errors.New("interrupted")
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
