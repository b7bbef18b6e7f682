-- Prosody for the benchmark: no rate limits, epoll, as few modules as will do.
run_as_root = true
pidfile = "$directory/prosody.pid"
data_path = "$directory"
certificates = "$directory"
-- Lua's own default. Prosody's is 105: a new collection whenever memory has grown by 5 %. The crowd's thousand
-- pairs leave a heap behind whose collections then take three quarters of the core from every later round.
gc = { threshold = 200 }
network_backend = "epoll"
network_settings = { read_size = 65536, tcp_backlog = 1024, max_connections = 20000 }
modules_enabled = { "tls", "saslauth" }
modules_disabled = { "s2s", "offline", "limits" }
c2s_interfaces = { "127.0.0.1" }
c2s_ports = { $port }
c2s_direct_tls_ports = { $tls_port }
c2s_direct_tls_interfaces = { "127.0.0.1" }
c2s_direct_tls_ssl = { certificate = "$certificate", key = "$certificate", protocol = "tlsv1_3" }
s2s_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
c2s_stanza_size_limit = 1048576
archive_expires_after = "never"
log = { error = "$directory/prosody.log" }
VirtualHost "localhost"
    authentication = "anonymous"
-- For those who come and go: accounts, rosters, and messages that wait, without a limit of their number.
VirtualHost "members.localhost"
    authentication = "internal_plain"
    modules_enabled = { "offline", "ping", "roster" }
    modules_disabled = { "s2s", "limits" }
    storage_archive_item_limit = 100000000
