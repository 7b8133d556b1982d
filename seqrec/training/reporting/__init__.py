"""Where progress goes: status files, screen, TensorBoard, MLflow. Only modules of training import it."""
