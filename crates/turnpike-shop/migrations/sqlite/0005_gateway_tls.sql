-- The name that a gateway's certificate is for. NULL where it speaks no TLS.
ALTER TABLE gateway ADD COLUMN tls_server_name TEXT;
