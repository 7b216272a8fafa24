package nix

import (
	"bytes"
	"encoding/json"
	"strings"
)

// The results of activities that say something here, by Nix's own numbers.
const (
	resultBuildLog     = 101
	resultPhase        = 104
	resultProgress     = 105
	resultPostBuildLog = 107
)

// logEntry is one line of Nix's internal-json.
type logEntry struct {
	Action string            `json:"action"`
	ID     uint64            `json:"id"`
	Parent uint64            `json:"parent"`
	Level  int               `json:"level"`
	Type   int               `json:"type"`
	Text   string            `json:"text"`
	Fields []json.RawMessage `json:"fields"`
	Msg    string            `json:"msg"`
	RawMsg string            `json:"raw_msg"`
	logPos
	Trace []logFrame `json:"trace"`
}

type logFrame struct {
	RawMsg string `json:"raw_msg"`
	logPos
}

// logPos is a position; Nix gives null where it knows none.
type logPos struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// decodeLog reads one line. What is not internal-json, or broken, is text.
func decodeLog(line []byte) (entry logEntry, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("@nix "))
	if !ok {
		return logEntry{}, false
	}
	if err := json.Unmarshal(rest, &entry); err != nil || entry.Action == "" {
		return logEntry{}, false
	}
	return entry, true
}

// str and num read a field, which is a string or a number; a field that is
// missing or of the other kind reads as nothing.
func (e *logEntry) str(i int) (s string) {
	if i < len(e.Fields) && json.Unmarshal(e.Fields[i], &s) != nil {
		return ""
	}
	return s
}

func (e *logEntry) num(i int) (n int64) {
	if i < len(e.Fields) && json.Unmarshal(e.Fields[i], &n) != nil {
		return 0
	}
	return n
}

// event translates an entry; known is what was said when its activity started.
func (e *logEntry) event(known Event) (Event, bool) {
	switch e.Action {
	case "start":
		return Event{
			Kind: Started, Activity: Activity(e.Type), ID: e.ID, Parent: e.Parent,
			Path: clean(e.str(0)), Text: clean(e.Text),
		}, true
	case "stop":
		known.Kind, known.ID = Finished, e.ID
		return known, true
	case "msg":
		return Event{Kind: Message, Level: Level(e.Level), Text: clean(e.Msg)}, true
	case "result":
		known.ID, known.Text = e.ID, ""
		switch e.Type {
		case resultBuildLog, resultPostBuildLog:
			known.Kind, known.Text = LogLine, clean(e.str(0))
			return known, true
		case resultPhase:
			known.Kind, known.Text = Phase, clean(e.str(0))
			return known, true
		case resultProgress:
			known.Kind = Progress
			known.Done, known.Expected, known.Running, known.Failed = e.num(0), e.num(1), e.num(2), e.num(3)
			return known, true
		}
	}
	return Event{}, false
}

// isError says whether the entry is an error and not a mere notice: Nix prints
// lists such as "these paths will be built" on the level of errors, too.
func (e *logEntry) isError() bool {
	return e.Action == "msg" && Level(e.Level) == LevelError &&
		(e.RawMsg != "" || strings.HasPrefix(clean(e.Msg), "error:"))
}
