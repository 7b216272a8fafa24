package nix

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

const (
	// maxLine bounds what is kept of one line; an error with the trace of a
	// large evaluation comes as one line of some megabytes.
	maxLine = 16 << 20
	// tailLines bounds what is kept of a build's log and of plain text.
	tailLines = 25
	// tailWidth bounds a line of those.
	tailWidth = 1000
)

// stderr reads what nix writes there: it tells events, keeps errors, and
// writes a log for people. It is an io.Writer for exec.Cmd, used by one
// goroutine.
type stderr struct {
	onEvent func(Event)
	log     io.Writer // never nil
	line    []byte    // the beginning of a line whose end has not come

	open    map[uint64]Event    // activities under way
	builds  map[string][]string // the last lines of every build by derivation
	errors  []logEntry
	text    []string // the last lines that are not internal-json
	ignored []string // settings of the flake's nixConfig that Nix has ignored
}

func newStderr(onEvent func(Event), log io.Writer) *stderr {
	return &stderr{onEvent: onEvent, log: log, open: map[uint64]Event{}, builds: map[string][]string{}}
}

// Write takes the next part of the stream. It never fails: a full disk under
// the log must not stop a deploy.
func (s *stderr) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.keep(p)
			return n, nil
		}
		s.keep(p[:i])
		s.take(s.line)
		s.line = s.line[:0]
		p = p[i+1:]
	}
}

func (s *stderr) keep(p []byte) {
	s.line = append(s.line, p[:min(len(p), maxLine-len(s.line))]...)
}

// close takes a last line that has no end, and says what the flake wanted.
func (s *stderr) close() {
	if len(s.line) > 0 {
		s.take(s.line)
		s.line = nil
	}
	if len(s.ignored) > 0 {
		s.tell(Event{Kind: Message, Level: LevelWarn, Text: fmt.Sprintf(
			"the flake's nixConfig is ignored: %s; accept it with --accept-flake-config", strings.Join(s.ignored, ", "))})
	}
}

func (s *stderr) take(line []byte) {
	entry, ok := decodeLog(line)
	if !ok {
		s.plain(clean(string(line)))
		return
	}
	if setting, ok := ignoredSetting(&entry); ok {
		s.ignore(setting)
		return
	}
	event, ok := entry.event(s.open[entry.ID])
	if !ok {
		return
	}
	switch event.Kind {
	case Started:
		s.open[event.ID] = Event{Activity: event.Activity, Parent: event.Parent, Path: event.Path}
		if Level(entry.Level) <= LevelInfo {
			s.write(event.Text)
		}
	case Finished:
		delete(s.open, event.ID)
	case LogLine:
		if event.Path != "" {
			s.builds[event.Path] = appendTail(s.builds[event.Path], event.Text)
		}
		s.write(event.Name() + "> " + event.Text)
	case Message:
		if entry.isError() {
			s.errors = append(s.errors, entry)
		}
		s.write(event.Text)
	}
	s.emit(event)
}

// plain is a line of a helper of nix, or of a nix that died before it set up
// its log.
func (s *stderr) plain(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	s.text = appendTail(s.text, line)
	s.tell(Event{Kind: Message, Level: LevelNotice, Text: line})
}

func (s *stderr) tell(e Event) {
	s.write(e.Text)
	s.emit(e)
}

func (s *stderr) emit(e Event) {
	if s.onEvent != nil {
		s.onEvent(e)
	}
}

func (s *stderr) write(text string) {
	if text != "" {
		_, _ = io.WriteString(s.log, text+"\n")
	}
}

func (s *stderr) ignore(setting string) {
	for _, have := range s.ignored {
		if have == setting {
			return
		}
	}
	s.ignored = append(s.ignored, setting)
}

// ignoredSetting reads Nix's warning about a setting of the flake.
func ignoredSetting(e *logEntry) (string, bool) {
	if e.Action != "msg" || Level(e.Level) != LevelWarn {
		return "", false
	}
	_, rest, ok := strings.Cut(clean(e.Msg), "ignoring untrusted flake configuration setting '")
	if !ok {
		return "", false
	}
	setting, _, ok := strings.Cut(rest, "'")
	return setting, ok
}

func appendTail(lines []string, line string) []string {
	if len(line) > tailWidth {
		line = strings.ToValidUTF8(line[:tailWidth], "") + "…"
	}
	if len(lines) == tailLines {
		copy(lines, lines[1:])
		lines = lines[:tailLines-1]
	}
	return append(lines, line)
}
