"""WeChat Pay's API version 3 as merchants meet it: JSON, signed by lines both ways, callbacks encrypted."""
