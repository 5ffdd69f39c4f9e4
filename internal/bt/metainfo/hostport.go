package metainfo

import (
	"fmt"
	"strconv"
	"strings"
)

// splitHostPort reads host:port or [host]:port. The host is a name or an
// address and is not looked at further.
func splitHostPort(s string) (host string, port uint16, err error) {
	at := strings.LastIndexByte(s, ':')
	fault := fmt.Errorf("%q is no host:port", clip(s))
	if at < 0 {
		return "", 0, fault
	}
	host = s[:at]
	if inner, found := strings.CutPrefix(host, "["); found {
		if host, found = strings.CutSuffix(inner, "]"); !found {
			return "", 0, fault
		}
	} else if strings.Contains(host, ":") {
		return "", 0, fault // an IPv6 address stands in brackets
	}
	n, err := strconv.ParseUint(s[at+1:], 10, 16)
	if err != nil || n == 0 || host == "" || len(host) > MaxName || strings.ContainsAny(host, "[]") {
		return "", 0, fault
	}
	return host, uint16(n), nil
}

// joinHostPort is the opposite of splitHostPort.
func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}
