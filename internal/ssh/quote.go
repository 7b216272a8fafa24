package ssh

import (
	"errors"
	"strings"
)

// commandLine quotes args for a login shell. Quotes and backslashes stand
// outside the single quotes, which makes the line mean the same to POSIX
// shells and to fish. The program takes the shell's place, so that signals
// reach it and its own end is what we are told.
func commandLine(args []string) (string, error) {
	if len(args) == 0 || args[0] == "" {
		return "", errors.New("no command given")
	}
	quoted := make([]string, len(args))
	for i, arg := range args {
		if strings.ContainsRune(arg, 0) {
			return "", errors.New("an argument contains a NUL byte")
		}
		quoted[i] = shellQuote(arg)
	}
	return "exec " + strings.Join(quoted, " "), nil
}

func shellQuote(s string) string { return "'" + quoteEscapes.Replace(s) + "'" }

var quoteEscapes = strings.NewReplacer(`'`, `'\''`, `\`, `'\\'`)

// display is a command line for people: short and on one line.
func display(args []string) string {
	const limit = 100
	words := []rune(strings.Join(strings.Fields(strings.Join(args, " ")), " "))
	if len(words) > limit {
		words = append(words[:limit-1], '…')
	}
	return "`" + string(words) + "`"
}
