"""The HTTP surface: SageMaker InvokeEndpoint and the management routes."""
