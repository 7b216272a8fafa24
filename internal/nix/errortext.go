package nix

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	posSuffix = regexp.MustCompile(`^(.+?):(\d+)(?::(\d+))?$`)
	atLine    = regexp.MustCompile(`^at (.+?):(\d+)(?::(\d+))?:?$`)
	didYou    = regexp.MustCompile(`^Did you mean (.+)\?$`)
	excerpt   = regexp.MustCompile(`^\s*\d*\|`)
)

// errorText is an error as Nix prints it for people.
type errorText struct {
	Message      string
	File         string
	Line, Column int
	Trace        []Frame
	hint         string // " (did you mean …?)"
}

// parseErrorText reads "error: …" with its "… while …" steps and "at FILE:L:C:"
// positions. The last "error:" is the message; text without one is a message
// as a whole. Old versions print the steps after the message, innermost first,
// newer ones before it, outermost first; Trace is innermost first.
func parseErrorText(s string) errorText {
	var out errorText
	var message, loose []string
	var before, after []Frame
	var frame *Frame // the step that a position would belong to
	inMessage := false
	for raw := range strings.SplitSeq(s, "\n") {
		line := strings.TrimSpace(raw)
		text, isError := strings.CutPrefix(line, "error:")
		step, isStep := strings.CutPrefix(line, "… ")
		switch {
		case isError:
			message = nil
			if text = strings.TrimSpace(text); text != "" {
				message = []string{text}
			}
			before, after = append(before, after...), nil
			out.File, out.Line, out.Column = "", 0, 0
			frame, inMessage = nil, true
		case isStep:
			after = append(after, Frame{Text: step})
			frame, inMessage = &after[len(after)-1], false
		case excerpt.MatchString(raw): // the source around a position
			inMessage = false
		case atLine.MatchString(line):
			m := atLine.FindStringSubmatch(line)
			file, row, column := m[1], atoi(m[2]), atoi(m[3])
			if frame != nil && frame.File == "" {
				frame.File, frame.Line, frame.Column = file, row, column
			} else if frame == nil && out.File == "" {
				out.File, out.Line, out.Column = file, row, column
			}
			inMessage = false
		case didYou.MatchString(line):
			out.hint = " (did you mean " + didYou.FindStringSubmatch(line)[1] + "?)"
		case inMessage && line != "":
			message = append(message, line)
		case line != "" && frame == nil && message == nil:
			loose = append(loose, line)
		}
	}
	if message == nil {
		message = loose
	}
	out.Message = strings.Join(message, "\n")
	slices.Reverse(before)
	out.Trace = slices.Concat(after, before)
	return out
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
