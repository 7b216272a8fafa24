package nix

import "unicode/utf8"

// clean makes foreign text fit for a terminal row and a log: no escape
// sequences (CSI, OSC and the like), no control characters but newline, tabs
// as spaces, and of a line overwritten by carriage returns only the last state.
func clean(s string) string {
	if !needsCleaning(s) {
		return s
	}
	out := make([]byte, 0, len(s))
	lineStart := 0
	overwrite := false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\x1b':
			size = escapeLen(s[i:])
		case r == '\r':
			overwrite = true
		case r == '\n':
			overwrite = false
			out = append(out, '\n')
			lineStart = len(out)
		case r == utf8.RuneError && size == 1:
		case r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0):
		default:
			if overwrite {
				out = out[:lineStart]
				overwrite = false
			}
			if r == '\t' {
				out = append(out, "    "...)
			} else {
				out = append(out, s[i:i+size]...)
			}
		}
		i += size
	}
	return string(out)
}

func needsCleaning(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' || c >= 0x7f {
			return true
		}
	}
	return false
}

// escapeLen is the length of the escape sequence that s begins with.
func escapeLen(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[': // CSI: parameters up to a final byte
		for i := 2; i < len(s); i++ {
			if s[i] >= 0x40 && s[i] <= 0x7e {
				return i + 1
			}
			if s[i] < ' ' {
				return i
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_': // OSC and other strings: up to BEL or ESC \
		for i := 2; i < len(s); i++ {
			switch {
			case s[i] == '\a':
				return i + 1
			case s[i] == '\x1b' && i+1 < len(s) && s[i+1] == '\\':
				return i + 2
			case s[i] == '\n':
				return i
			}
		}
		return len(s)
	}
	if s[1] < ' ' || s[1] >= 0x7f { // not a sequence: drop the ESC alone
		return 1
	}
	return 2
}
