package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageWidth is how wide the text about flags may become, helpWidth how wide that
// about a command.
const (
	usageWidth = 96
	helpWidth  = 84
)

// helpCmd is cobra's help command, but one that does not know a topic says so
// and fails.
func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND...]",
		Short:   "Help about a command",
		Long:    "Help about a command, the same as COMMAND --help.",
		Example: "  fleet help machines update",
		GroupID: groupAround,
		Args:    cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if of, _, err := cmd.Root().Find(args); err == nil {
				for _, sub := range of.Commands() {
					names = append(names, sub.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if err := onlyCommands(of, rest); err != nil {
				return err
			}
			return of.Help()
		},
	}
}

// writeHelp prints what a command does and how it is called.
func writeHelp(cmd *cobra.Command, _ []string) {
	var b strings.Builder
	for line := range strings.SplitSeq(cmd.Long, "\n") {
		if len(line) > helpWidth {
			line = strings.Join(wrap(line, helpWidth), "\n")
		}
		b.WriteString(line + "\n")
	}
	fmt.Fprintln(cmd.OutOrStdout(), b.String()+"\n"+usageText(cmd))
}

// writeUsage prints how a command is called: what cobra would print, but
// narrower and with the flags in two columns.
func writeUsage(cmd *cobra.Command) error {
	_, err := fmt.Fprintln(cmd.OutOrStderr(), usageText(cmd))
	return err
}

func usageText(cmd *cobra.Command) string {
	var b strings.Builder
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n%s\n%s\n", title, strings.TrimRight(text, "\n"))
		}
	}
	usage := "  " + cmd.UseLine()
	if cmd.HasAvailableSubCommands() {
		usage = "  " + cmd.CommandPath() + " COMMAND"
	}
	b.WriteString("Usage:\n" + usage + "\n")
	section("Examples:", cmd.Example)
	for _, group := range cmd.Groups() {
		section(group.Title, commandLines(cmd, group.ID))
	}
	section("Commands:", commandLines(cmd, ""))
	section("Flags:", flagLines(cmd.LocalFlags()))
	section("Flags of every command:", flagLines(cmd.InheritedFlags()))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n`%s COMMAND --help` tells more about a command.\n", cmd.CommandPath())
	} else {
		section("Exit status:", exitTable())
	}
	return strings.TrimRight(b.String(), "\n")
}

func commandLines(cmd *cobra.Command, group string) string {
	var b strings.Builder
	for _, sub := range cmd.Commands() {
		if sub.GroupID == group && (sub.IsAvailableCommand() || sub.Name() == "help") {
			fmt.Fprintf(&b, "  %-*s  %s\n", cmd.Commands()[0].NamePadding(), sub.Name(), sub.Short)
		}
	}
	return b.String()
}

func flagLines(flags *pflag.FlagSet) string {
	names := map[*pflag.Flag]string{}
	pad := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		if kind, _ := pflag.UnquoteUsage(f); kind == "int" {
			name += " N"
		} else if kind != "" {
			name += " " + strings.ToUpper(strings.TrimSuffix(kind, "s"))
		}
		names[f] = name
		pad = max(pad, len(name))
	})
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		name, shown := names[f]
		if !shown {
			return
		}
		_, usage := pflag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			value := f.DefValue
			if minutes, whole := strings.CutSuffix(value, "m0s"); whole {
				value = minutes + "m"
			}
			usage += " (default " + value + ")"
		}
		for i, line := range wrap(usage, usageWidth-pad-3) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "%-*s   %s\n", pad, name, line)
		}
	})
	return b.String()
}

// wrap breaks a text into lines of at most width, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
