"""Moments to the second, because the steps of an order are seconds apart; days as in every log line."""

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
