package nix

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// What an *Error can be about, for errors.Is.
var (
	// ErrNixMissing: there is no nix program.
	ErrNixMissing = errors.New("nix is not installed")
	// ErrNoFlake: the reference does not lead to a flake.
	ErrNoFlake = errors.New("not a flake")
	// ErrNoAttribute: the flake has no such output.
	ErrNoAttribute = errors.New("no such attribute")
	// ErrHashMismatch: a download is not what its derivation promises.
	ErrHashMismatch = errors.New("hash mismatch")
	// ErrDiskFull: a disk is full, here or where the store is.
	ErrDiskFull = errors.New("disk full")
)

// TooOldError says that the Nix at hand lacks what this program needs.
type TooOldError struct{ Have, Want string }

func (e *TooOldError) Error() string {
	return fmt.Sprintf("nix %s is too old, at least %s is needed: upgrade it (`nix upgrade-nix`, or the package nix of your system)", e.Have, e.Want)
}

// Error is what a failed process of Nix leaves: what was wanted, what Nix said,
// where, and where to read on.
type Error struct {
	// Op is the subcommand, such as "eval" or "flake metadata".
	Op string
	// Installable is what it was asked for; several are separated by spaces.
	Installable string
	// Message is Nix's own message without position and trace; it may have
	// several lines.
	Message string
	// File, Line and Column are the position, zero where Nix knows none. File
	// is the user's own file, relative to the working folder where it is below
	// it; a file of another flake keeps its store path.
	File         string
	Line, Column int
	// Trace leads from the error outwards.
	Trace []Frame
	// Failures are the derivations that failed to build, the causes first.
	Failures []BuildFailure
	// Stderr are the last lines that Nix printed as plain text.
	Stderr []string
	// LogPath is the file with everything that Nix printed, if there is one.
	LogPath string
	// Causes are what errors.Is and errors.As find: the sentinel errors above,
	// *TooOldError, and the context's error when the process was cancelled.
	Causes []error
}

// Frame is one step of a trace.
type Frame struct {
	Text         string
	File         string
	Line, Column int
}

// BuildFailure is a derivation that failed to build.
type BuildFailure struct {
	DrvPath string
	Message string
	// Dependency says that not it failed, but something that it needs.
	Dependency bool
	// Log is the end of what its builder printed.
	Log []string
}

// Error is one sentence: what was wanted, the message, the position, the end
// of a failed build's log, and the place of Nix's own output.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("nix " + e.Op)
	if e.Installable != "" {
		b.WriteString(" " + e.Installable)
	}
	return b.String() + ": " + e.Reason()
}

// Reason is Error without what was wanted, for a message that says so itself.
func (e *Error) Reason() string {
	var b strings.Builder
	// Where a derivation lies is in the log.
	b.WriteString(oneLine(drvInMessage.ReplaceAllStringFunc(e.Message, func(m string) string { return "'" + storeName(m) })))
	if pos := e.Position(); pos != "" {
		b.WriteString(", at " + pos)
	}
	if len(e.Failures) > 0 && len(e.Failures[0].Log) > 0 {
		log := e.Failures[0].Log
		last := log[max(0, len(log)-3):]
		fmt.Fprintf(&b, "; it printed last: %s", strings.Join(last, " ⏎ "))
	}
	if more := len(e.Failures) - 1; more > 0 {
		names := make([]string, 0, more)
		for _, f := range e.Failures[1:] {
			names = append(names, storeName(f.DrvPath))
		}
		fmt.Fprintf(&b, "; failed with it: %s", shorten(names))
	}
	if e.LogPath != "" {
		fmt.Fprintf(&b, " (log: %s)", e.LogPath)
	}
	return b.String()
}

// Position is "file:line:column" as far as it is known.
func (e *Error) Position() string { return position(e.File, e.Line, e.Column) }

// Unwrap gives the causes.
func (e *Error) Unwrap() []error { return e.Causes }

func position(file string, line, column int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file
	case column == 0:
		return fmt.Sprintf("%s:%d", file, line)
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// oneLine joins the lines of a message; lists in it keep their dashes.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// newError makes the error of a process from what it printed.
func newError(op, installable string, s *stderr, loc *locator) *Error {
	e := &Error{Op: op, Installable: installable, Stderr: s.text}
	if len(s.errors) > 0 {
		e.fromLog(s.errors[len(s.errors)-1])
	} else {
		e.fromText(strings.Join(s.text, "\n"))
	}
	e.Failures = failures(s)
	if len(e.Failures) > 0 && !e.Failures[0].Dependency {
		e.Message = e.Failures[0].Message
	}
	e.Causes = classify(s, e.Message)
	if loc.rootMissing() && !errors.Is(e, ErrNoFlake) {
		e.Causes = append(e.Causes, ErrNoFlake)
	}
	e.locate(loc)
	return e
}

func (e *Error) fromLog(entry logEntry) {
	text := parseErrorText(clean(entry.Msg))
	e.Message, e.Trace = text.Message, text.Trace
	if entry.RawMsg != "" {
		e.Message = strings.TrimSpace(clean(entry.RawMsg))
		if !strings.Contains(strings.ToLower(e.Message), "did you mean") {
			e.Message += text.hint
		}
	}
	e.File, e.Line, e.Column = entry.split()
	if e.File == "" {
		e.File, e.Line, e.Column = text.File, text.Line, text.Column
	}
	if len(entry.Trace) > 0 {
		e.Trace = nil
		for _, f := range entry.Trace {
			file, line, column := f.split()
			e.Trace = append(e.Trace, Frame{Text: oneLine(clean(f.RawMsg)), File: file, Line: line, Column: column})
		}
	}
}

func (e *Error) fromText(s string) {
	text := parseErrorText(s)
	e.Message, e.Trace = text.Message+text.hint, text.Trace
	e.File, e.Line, e.Column = text.File, text.Line, text.Column
}

// locate puts the user's own files in the place of their copies in the store.
// An error that Nix places nowhere, or in a file of nixpkgs, is placed in the
// file of the user that the message names (as the module system does), or
// where the trace last touches one.
func (e *Error) locate(loc *locator) {
	file, own := loc.file(e.File)
	e.File = file
	if named, ok := loc.named(e.Message); ok && !own {
		e.File, e.Line, e.Column, own = named, 0, 0, true
	}
	for i := range e.Trace {
		var mine bool
		e.Trace[i].File, mine = loc.file(e.Trace[i].File)
		if f := e.Trace[i]; !own && mine {
			e.File, e.Line, e.Column, own = f.File, f.Line, f.Column, true
		}
		e.Trace[i].Text = loc.text(e.Trace[i].Text)
	}
	for i := 0; e.File == "" && i < len(e.Trace); i++ {
		e.File, e.Line, e.Column = e.Trace[i].File, e.Trace[i].Line, e.Trace[i].Column
	}
	e.Message = loc.text(loc.unseen(e.Message))
}

// split takes the ":line:column" off that some versions leave on the file.
func (p logPos) split() (file string, line, column int) {
	file = clean(p.File)
	if m := posSuffix.FindStringSubmatch(file); m != nil {
		return m[1], atoi(m[2]), atoi(m[3])
	}
	return file, p.Line, p.Column
}

// classify names what the message is about.
func classify(s *stderr, message string) []error {
	var all strings.Builder
	all.WriteString(message)
	for _, e := range s.errors {
		all.WriteString("\n" + clean(e.Msg))
	}
	whole := all.String()
	var out []error
	for _, c := range []struct {
		text string
		in   string
		is   error
	}{
		{message, "does not provide attribute", ErrNoAttribute},
		{message, "could not find a flake.nix file", ErrNoFlake},
		{message, "does not contain a 'flake.nix' file", ErrNoFlake},
		{message, "does not contain a '/flake.nix' file", ErrNoFlake},
		{message, "is not part of a flake", ErrNoFlake},
		{message, "is not a flake", ErrNoFlake},
		{message, "cannot find flake", ErrNoFlake},
		{message, "'flake.nix' does not exist", ErrNoFlake},
		{message, "flake.nix' does not exist", ErrNoFlake},
		{whole, "flake.nix' is not tracked by Git", ErrNoFlake},
		{whole, "Path 'flake.nix' in the repository", ErrNoFlake},
		{whole, "hash mismatch in fixed-output derivation", ErrHashMismatch},
		{whole, "hash mismatch in file", ErrHashMismatch},
		{whole, "No space left on device", ErrDiskFull},
		{whole, "disk is full", ErrDiskFull},
		{whole, "Disk quota exceeded", ErrDiskFull},
	} {
		if strings.Contains(c.text, c.in) && (len(out) == 0 || out[len(out)-1] != c.is) {
			out = append(out, c.is)
		}
	}
	return out
}

// display is path as the user would write it: relative to dir when below it.
func display(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
