package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// machineLog is all that was said on the way of one machine: by Nix, by its
// activation, by us. It is for people; [Record] is for programs.
//
// It is bounded: of a log that would grow over maxMachineLog its beginning and
// its end are kept.
type machineLog struct {
	path string
	file *os.File
	size int64
}

const (
	maxMachineLog = 4 << 20
	// keptOfLog is how much of a log that is full is kept of either side.
	keptOfLog = 1 << 20
	leftOut   = "[a part is left out here]\n"
)

// logName is the file of a machine's log, in the folder of its run. Whatever the
// machine is called, it is a file of that folder.
func logName(machine string) string { return url.PathEscape(machine) + ".log" }

func openMachineLog(path string) (*machineLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &machineLog{path: path, file: file, size: info.Size()}, nil
}

// add writes one line, or as many as text has. What would move a terminal's
// cursor is left out.
func (l *machineLog) add(now time.Time, phase Phase, text string) error {
	var b strings.Builder
	stamp := now.Format(time.TimeOnly)
	for line := range strings.Lines(text) {
		fmt.Fprintf(&b, "%s %-8s %s\n", stamp, phase, printable(line))
	}
	n, err := io.WriteString(l.file, b.String())
	l.size += int64(n)
	if err == nil && l.size > maxMachineLog {
		err = l.shorten()
	}
	return err
}

// shorten leaves out the middle.
func (l *machineLog) shorten() error {
	begin, end := make([]byte, keptOfLog), make([]byte, keptOfLog)
	if _, err := l.file.ReadAt(begin, 0); err != nil {
		return err
	}
	if _, err := l.file.ReadAt(end, l.size-keptOfLog); err != nil {
		return err
	}
	begin = begin[:bytes.LastIndexByte(begin, '\n')+1]
	begin, _, _ = bytes.Cut(begin, []byte(leftOut)) // of the time before
	end = end[bytes.IndexByte(end, '\n')+1:]
	// Beside it and renamed: a crash leaves the one or the other.
	short, err := os.OpenFile(l.path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	written, err := fmt.Fprintf(short, "%s%s%s", begin, leftOut, end)
	if err == nil {
		err = os.Rename(short.Name(), l.path)
	}
	if err != nil {
		return errors.Join(err, short.Close(), os.Remove(short.Name()))
	}
	err = l.file.Close()
	l.file, l.size = short, int64(written)
	return err
}

func (l *machineLog) close() error { return l.file.Close() }

// printable is a line of foreign text without what a terminal would obey.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, line)
}

// log writes what was said of a machine into its log. It is best effort: a log
// that cannot be written stops nothing, and Close tells.
func (r *Record) log(now time.Time, machine string, phase Phase, text string) {
	if r == nil || text == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l, opened := r.logs[machine]
	if !opened {
		var err error
		if l, err = openMachineLog(r.logPath(machine)); err != nil {
			r.fail(fmt.Errorf("write the log of %s: %w", machine, err))
		}
		r.logs[machine] = l // nil is not tried again
		if l != nil {
			r.fail(l.add(now, "", fmt.Sprintf("run %s, %s", r.ID, now.Format(time.RFC1123Z))))
		}
	}
	if l != nil {
		r.fail(l.add(now, phase, text))
	}
}

func (r *Record) logPath(machine string) string {
	return filepath.Join(filepath.Dir(r.file.Name()), logName(machine))
}

// logOf is where the log of a machine is; empty if there is none.
func (r *Record) logOf(machine string) string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.logs[machine] == nil {
		return ""
	}
	return r.logPath(machine)
}

// fail keeps the first reason why a record is not complete.
func (r *Record) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
