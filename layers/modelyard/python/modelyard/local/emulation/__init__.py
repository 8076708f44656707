"""An emulation of AWS Lambda, API Gateway and SQS triggers for local runs."""
