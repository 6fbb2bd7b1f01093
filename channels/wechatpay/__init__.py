"""WeChat Pay, API version 3: JSON over HTTPS, signed with RSA both ways."""
