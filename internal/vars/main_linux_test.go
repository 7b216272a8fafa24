package vars

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestMain lets this test binary stand for another process.
func TestMain(m *testing.M) {
	if order, ok := os.LookupEnv(runCrashVar); ok {
		parts := strings.SplitN(order, ":", 3)
		number, _ := strconv.Atoi(parts[0])
		runAndCrash(number, parts[1], parts[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}
